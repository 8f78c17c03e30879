/* The ten benchmarks of the paper: a table, and readers of their examples.
 *
 * DIR/<name>.jsonl (or .jsonl.gz, or .json: one array) holds one example a line, in the field names of the
 * Hub or of the original distribution:
 *   arc_*, openbookqa  question | question_stem, choices {text, label}, answerKey
 *                      | question {stem, choices [{text, label}]}, answerKey
 *   boolq              passage, question, answer or label: true, false, 1, 0
 *   gsm8k              question, answer: "... #### 42"
 *   hellaswag          activity_label, ctx, (ctx_a, ctx_b,) endings, label: 0, 1, ... or a string of it
 *   piqa               goal, sol1, sol2, label 0, 1, or the line of <name>-labels.lst
 *   winogrande         sentence with "_", option1, option2, answer "1", "2", or the line of <name>-labels.lst
 *   mbpp               text or prompt, code, test_list, (test_setup_code or test_imports,) task_id. Of the
 *                      lines of the classic file (field text) only its test split, ids 11 to 510.
 *   humaneval          prompt, entry_point, test, canonical_solution, task_id
 * Examples come out in the Hub's names. A wrong field, an example without its answer (an unlabelled split),
 * an answer that is none of the choices: E_INPUT with file, line and key. */
#ifndef T2L_DATA_BENCHMARK_H
#define T2L_DATA_BENCHMARK_H

#include "base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum BenchmarkScore {
    BENCHMARK_CHOICE,  /* one of a few given answers */
    BENCHMARK_BOOLEAN, /* true or false */
    BENCHMARK_NUMBER,
    BENCHMARK_CODE /* a program that is run */
} BenchmarkScore;

enum { BENCHMARK_COUNT = 10, BENCHMARK_CHOICES = 26, BENCHMARK_SHOWN = 4 };

typedef struct Benchmark {
    const char *name, *title; /* title: of the column in the paper's table */
    BenchmarkScore score;
    const char *split; /* that is evaluated */
    int64_t size;      /* of it */
} Benchmark;

typedef struct BenchmarkItem {
    int64_t index; /* 0-based: line of the file, or element of the array */
    cJSON
        *fields; /* owns. Choices shorter than BENCHMARK_SHOWN are filled up with "N/A" and the next label */
    int n_choices; /* real ones; 0: not of this kind */
    int gold;      /* the right choice; boolq: 1 true, 0 false */
    const char *choice[BENCHMARK_CHOICES], *label[BENCHMARK_CHOICES]; /* views of fields or constants */
    const char *target; /* view: the right label, "true", the number, the reference program */
} BenchmarkItem;

typedef struct BenchmarkSet {
    const Benchmark *benchmark; /* view */
    char *path;                 /* owns: the file */
    BenchmarkItem *items;       /* owns */
    int64_t n;
} BenchmarkSet;

/* In the order of the paper's columns (view). */
const Benchmark *benchmark_table(void);
const Benchmark *benchmark_find(const char *name); /* NULL: none of that name */
/* limit: the first ones only; 0: all. suffix: "" or ".train", for <name>.train.jsonl. */
Status benchmark_load(BenchmarkSet *out, const Benchmark *b, const char *dir, const char *suffix,
                      int64_t limit);
/* The same from memory: lines, or an array if it begins with [. text: n bytes and a NUL; text and labels (may
 * be NULL) are overwritten. where: for messages. */
Status benchmark_parse(BenchmarkSet *out, const Benchmark *b, char *text, size_t n, char *labels,
                       const char *where, int64_t limit);
void benchmark_free(BenchmarkSet *set);
/* A field of the example that the reader has made sure of (view). */
const char *benchmark_field(const BenchmarkItem *it, const char *key);

#ifdef __cplusplus
}
#endif
#endif
