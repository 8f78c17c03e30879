/* The table of commands, in the order `t2l help` shows them. A command is listed when it works. */
#include "cli/cli.h"
#include "train/names.h"

#include <string.h>

static const Command commands[] = {
    {"demo", "Start here", "train a small Text-to-LoRA on this machine and show what it learned",
     "demo [--config FILE] [--resume] [key=value ...]", "t2l demo",
     "Says first how long it will take. Prints one table and leaves runs/demo/: checkpoint, metrics.jsonl,\n"
     "summary.json, eval/, and one adapter. Needs: t2l fetch smollm2-135m-instruct minilm-l6-v2",
     cmd_demo},
    {"doctor", "Start here", "what this machine has, and what is missing", "doctor [--json]", "t2l doctor",
     "Exit code 4 when nothing can run here.", cmd_doctor},
    {"help", "Start here", "this list, or a command's flags", "help [COMMAND]", "t2l help fetch", NULL,
     cmd_help},

    {"train", "Adapters from words", "train a Text-to-LoRA, or plain LoRAs",
     "train lora|multitask|recon|sft [--config FILE] [--resume] [key=value ...]",
     "t2l train sft --config configs/demo.json name=mine data.tasks=my-tasks",
     "sft: a Text-to-LoRA, through the frozen model. lora: one LoRA for data.task, or for each task in "
     "data.tasks.\n"
     "multitask: one LoRA for all; sft hypernet.offset=runs/NAME/adapters/multitask starts on top of it.\n"
     "recon: a Text-to-LoRA from the library that lora wrote (recon.library=).\n"
     "A run in runs/<name>/: config.json (resolved), metrics.jsonl, TensorBoard events, ckpt/; of lora "
     "adapters/ and\n"
     "library.h5, of multitask adapters/. The last line is the best checkpoint's path (of lora with many "
     "tasks: each\nadapter's).\n"
     "Ctrl-C finishes the step, saves and exits with 130; --resume continues bit for bit, after a crash too.",
     cmd_train},
    {"config", "Adapters from words", "resolve and check a configuration",
     "config [--config FILE] [key=value ...]", "t2l config --config configs/demo.json train.steps=100",
     "Defaults, then the file, then the words; later wins. Values are JSON; strings may be bare.\n"
     "--keys lists every key with its default and meaning.",
     cmd_config},
    {"generate", "Adapters from words", "one adapter from each description",
     "generate --t2l CKPT (--text S | --file F) -o DIR",
     "t2l generate --t2l runs/demo --text 'Translate to French.' -o fr",
     "Prints the folder of each: a LoRA adapter in PEFT's format.", cmd_generate},
    {"eval", "Adapters from words", "base model and adapters side by side on tasks",
     "eval --model M [--adapter DIR]... [--t2l CKPT [--describe TEXT]...] --data DIR [--tasks A,B] "
     "[--protocol generate|loglik] [--limit N] [-o DIR]",
     "t2l eval --model smollm2-135m-instruct --t2l runs/demo --data t2l-mini/heldout --heldout --limit 10",
     "Greedy answers, exact match with one of the task's outputs. With -o: items.jsonl and results.json, "
     "whole "
     "answers and\nROUGE-1 and ROUGE-L.\n"
     "With benchmarks in --tasks, DIR holds <task>.jsonl in the Hub's field names (or the original files): "
     "accuracy by\nanswers behind the chat template, or by log-likelihood, for example\n"
     "  t2l eval --model smollm2-135m-instruct --data DIR --tasks arc_easy,piqa --protocol loglik\n"
     "Programs of mbpp and humaneval run in a cage. With -o, the same command goes on where one was stopped.",
     cmd_eval},
    {"inspect", "Adapters from words", "what is in a model, adapter, checkpoint, store or configuration",
     "inspect PATH", "t2l inspect configs/mistral-7b-L.json",
     "Tensors with type, shape and norm; of an adapter the scale in force and what it adds to each layer;\n"
     "of a configuration with \"shapes\" the number of parameters.",
     cmd_inspect},

    {"chat", "Models", "one prompt, or a conversation on a terminal",
     "chat --model M [--adapter DIR | --t2l CKPT --describe TEXT] [PROMPT]",
     "t2l chat --model smollm2-135m-instruct 'What is the capital of France?'",
     "With an adapter the base model's answer stands beside it. Without PROMPT: a conversation, or standard "
     "input.",
     cmd_chat},
    {"complete", "Models", "answers to prompts, a JSON object a line",
     "complete --model M [--adapter DIR | --t2l CKPT --describe TEXT] [--max-tokens N] [--temperature T] "
     "[FILE|-]",
     "echo '{\"prompt\":\"Once upon a time\"}' | t2l complete --model smollm2-135m-instruct --max-tokens 20",
     "Each line {\"prompt\"} (taken as it is) or {\"messages\": [{role, content}]} (through the chat "
     "template, with the\n"
     "model's own system message unless --t2l or --no-default-system). Prints "
     "{\"text\",\"tokens\",\"finish\"}.",
     cmd_complete},
    {"score", "Models", "log-likelihood of continuations", "score --model M [--adapter DIR] [FILE|-]",
     "echo '{\"context\":\"The sky is\",\"continuation\":\" blue\"}' | t2l score --model "
     "smollm2-135m-instruct",
     "Each line {\"context\",\"continuation\"}. Prints {\"logprob\",\"tokens\",\"greedy\"}: the sum, the "
     "number of tokens of\n"
     "the continuation, and whether each was the likeliest.",
     cmd_score},
    {"embed", "Models", "texts to the vectors the hypernetwork sees",
     "embed --encoder M | --model M [-o X.h5] [--tasks PATH | FILE | -]",
     "echo 'Sort the words.' | t2l embed --encoder minilm-l6-v2",
     "Each line a text; prints a JSON array of floats a line, of length sqrt(dimension). With -o they go "
     "into an HDF5\n"
     "store with their texts, and with --tasks their tasks' names; a call that was stopped is continued by "
     "the same "
     "call.",
     cmd_embed},
    {"tokenize", "Models", "text to token ids, and back",
     "tokenize --model M [--json-in] [FILE|-] [--decode]",
     "echo 'Hello world' | t2l tokenize --model smollm2-135m-instruct",
     "Each line of input becomes a JSON array of ids. Special tokens in the text are recognised; none is "
     "added.",
     cmd_tokenize},
    {"template", "Models", "render a model's chat template", "template --model M [--system S] [FILE|-]",
     "echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | t2l template --model smollm2-135m-instruct",
     "Each line is a JSON array of {role, content}; each output line a JSON string, with the generation "
     "prompt.",
     cmd_template},
    {"fetch", "Models", "download a model into the cache, verified", "fetch NAME...",
     "t2l fetch smollm2-135m-instruct minilm-l6-v2",
     "Prints the path of each. A second call does nothing.\n"
     "The cache is $T2L_CACHE, else $XDG_CACHE_HOME/t2l, else ~/.cache/t2l.",
     cmd_fetch},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

const Command *command_find(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

Status command_unknown(const char *name) {
    const char *names[N_COMMANDS + 1];
    for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
    names[N_COMMANDS] = NULL;
    const char *near = names_nearest(name, names);
    if (near) return status_error(E_USAGE, "unknown command '%s'; the nearest is '%s'", name, near);
    return status_error(E_USAGE, "unknown command '%s'; `t2l help` lists them", name);
}

void command_print_all(FILE *f) {
    fprintf(
        f,
        "t2l %s: Text-to-LoRA. A description of a task in words becomes a LoRA adapter in one forward pass.\n"
        "\nusage: t2l COMMAND [flags]\n",
        T2L_VERSION);
    const char *group = "";
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(group, commands[i].group) != 0) fprintf(f, "\n%s\n", commands[i].group);
        group = commands[i].group;
        fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].summary);
        fprintf(f, "  %-10s   %s\n", "", commands[i].example);
    }
    fprintf(
        f,
        "\n`t2l help COMMAND` or `t2l COMMAND -h` explains one. Results go to stdout, messages to stderr.\n"
        "Exit codes: 0 ok, 2 usage, 3 bad input, 4 environment, 130 interrupted after saving, 1 anything "
        "else.\n");
}

Status cmd_help(Cli *cli, int argc, char **argv) {
    const Option none[] = {{.kind = OPTION_END}};
    TRY(cli_parse(cli, argc, argv, none, 0, 1));
    if (cli->help_shown) return OK;
    if (cli->n_args == 0) {
        command_print_all(stdout);
        return OK;
    }
    const Command *c = command_find(cli->args[0]);
    if (!c) return command_unknown(cli->args[0]);
    char help[] = "-h", *args[] = {help};
    cli->command = c;
    return c->run(cli, 1, args);
}
