#include "eval/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(FILE *f, const Benchmark *b, const BenchmarkItem *it, AnswerText code) {
    bool humaneval = strcmp(b->name, "humaneval") == 0;
    if (humaneval) fputs(benchmark_field(it, "prompt"), f);
    fwrite(code.at, 1, code.n, f);
    if (humaneval)
        fprintf(f, "\n%s\ncheck(%s)\n", benchmark_field(it, "test"), benchmark_field(it, "entry_point"));
    else
        fprintf(f, "\n%s\n%s\n", benchmark_field(it, "setup"), benchmark_field(it, "assertions"));
}

Status program_make(char **out, size_t *n, const Benchmark *b, const BenchmarkItem *it, AnswerText code) {
    CHECK(b->score == BENCHMARK_CODE, "%s has no program", b->name);
    *out = NULL;
    FILE *f = open_memstream(out, n);
    if (f) put(f, b, it, code);
    bool ok = f && !ferror(f);
    ok = f && fclose(f) == 0 && ok && *out;
    if (ok) return OK;
    free(*out);
    *out = NULL;
    return status_error(E_ENV, "no memory for a program");
}
