#!/bin/sh -ex
# 32 Natural-Instructions tasks with short examples: a LoRA of each, one for all, and two Text-to-LoRAs, on SmolLM2-135M-Instruct.
# SNI: a folder with index.json, descriptions.json and tasks/ (data/tasks.h). From the root of the repository, after `make build` and
# `build/t2l fetch smollm2-135m-instruct minilm-l6-v2`: runs/reference/sni32/run.sh SNI. Writes sni32/ and runs/sni32-*.
HERE=runs/reference/sni32 T=build/t2l TASKS=data.tasks=sni32/tasks/short
python3 $HERE/short_tasks.py "$1" sni32/tasks
$T train lora --config configs/lora.json name=sni32-oracle $TASKS train.epochs=0 train.steps=100 train.accumulate=1 train.lr=1e-3 eval.every=50 eval.valid_examples=20
$T train sft --config configs/sni.json name=sni32-sft $TASKS train.epochs=0 train.steps=1200 train.lr=5e-4 eval.every=300 eval.valid_examples=4
$T train multitask --config configs/multitask.json name=sni32-multitask $TASKS train.epochs=0 train.steps=1000 train.lr=1e-3 eval.every=250 eval.valid_examples=4
$T train recon --config configs/recon.json name=sni32-recon $TASKS recon.library=runs/sni32-oracle/library.h5 train.steps=10000 eval.every=1000
EVAL="eval --model smollm2-135m-instruct --natural --data sni32/tasks/short --max-tokens 40"
$T $EVAL --adapter runs/sni32-multitask/adapters/multitask --t2l runs/sni32-recon --controls -o sni32/eval/recon
$T $EVAL --t2l runs/sni32-sft --controls -o sni32/eval/sft
for t in runs/sni32-oracle/adapters/*; do $T $EVAL --tasks ${t##*/} --adapter $t -o sni32/eval/oracle/${t##*/}; done
python3 $HERE/table.py sni32/eval sni32/tasks
