/* The configuration of a run: one table of dotted keys (config.c), each with type, default, range, one line
 * of help and where the default comes from. Resolution: the defaults, then a JSON file, then key=value words;
 * later wins. Unknown keys are refused (E_USAGE) with the nearest valid one; a bad value in a file is
 * E_INPUT, in a word E_USAGE. The dotted key is the path of the C member: "train.lr" is config.train.lr. */
#ifndef T2L_TRAIN_CONFIG_H
#define T2L_TRAIN_CONFIG_H

#include "base/json.h"
#include "base/status.h"
#include <stdint.h>
#include <stdio.h>

enum { CONFIG_MAX_MODULES = 7 };

/* Strings are views into json. Choices are spelled as in the table. */
typedef struct ConfigModules {
    int n;
    const char *name[CONFIG_MAX_MODULES];
} ConfigModules;

/* The shape of a base model and encoder without the models, for counting parameters. layers == 0: not given.
 */
typedef struct ConfigShapes {
    int layers;
    int64_t embedding;
    int n;
    const char *name[CONFIG_MAX_MODULES];
    int64_t in[CONFIG_MAX_MODULES], out[CONFIG_MAX_MODULES];
} ConfigShapes;

typedef struct Config {
    const char *name;
    int64_t seed;
    const char *model, *encoder, *dtype;
    struct {
        const char *size, *encoder, *task_start, *rank_positions, *offset;
        bool offset_learn;
        int64_t latent, head;
        double dropout;
    } hypernet;
    struct {
        int64_t rank;
        double alpha, dropout;
        ConfigModules modules;
    } lora;
    struct {
        const char *tasks, *task, *heldout, *prompt, *embedding;
        double swap;
        int64_t max_tokens, max_tasks;
    } data;
    struct {
        int64_t steps, epochs, batch_tasks, accumulate;
        double lr, warmup, weight_decay, beta1, beta2, eps, clip, label_smoothing, neftune, ab_penalty;
        bool equal_weight;
        int64_t save_every, log_every, patience;
        const char *nan;
    } train;
    struct {
        const char *library, *embeddings, *loss;
        bool zscore;
        double c;
    } recon;
    struct {
        int64_t every, valid_examples, examples, seen_examples, descriptions, max_new_tokens, slots;
    } eval;
    ConfigShapes shapes;
    cJSON *json; /* owns: every key with its value in force, as `t2l config` prints it */
} Config;

/* path: NULL means defaults only. words: "key=value", values JSON or, for strings and lists, bare text. */
Status config_load(Config *out, const char *path, int n_words, char *const *words);
void config_free(Config *c);
/* E_USAGE, naming the first key, when the configuration file at `path` is of another training: when it
 * differs in more than the run's name, what is saved, logged and evaluated when, and what ends the run early.
 */
Status config_same_training(const Config *c, const char *path);
/* The table of keys: key, default, help, source. */
void config_print_keys(FILE *f);

#endif
