#!/usr/bin/env bash
# Speed on a GPU, in under 9 minutes: prefill, the paper's procedure, mixed batches and ours, then vLLM with and without
# pruned heads as adapters. Without a GPU it runs on the CPU.
#
#   benchmarks/gpu.sh                                   # the embedded model, to see that all of it runs
#   MODEL=FOLDER DTYPE=bfloat16 TASK=gsm8k LAYERS=8,12 QUESTIONS=32 TOKENS=256 benchmarks/gpu.sh     # SPRINT_DATA_DIR set
#
# In: python with this package (and vLLM; without it that part says so). Out: tables on the screen; in $OUT
# generation.jsonl (seconds, tokens, memory in bytes, account, for each way) and vllm.jsonl (tokens per second).
set -euo pipefail
cd "$(dirname "$0")/.."
model=${MODEL:-tiny} dtype=${DTYPE:-float32} out=${OUT:-output/gpu} tokens=${TOKENS:-160}
mkdir -p "$out"

timeout 300 python -m benchmarks.generation --model "$model" --dtype "$dtype" --task "${TASK:-tiny}" \
    --questions "${QUESTIONS:-32}" --layers "${LAYERS:-all}" --heads "${HEADS:-3}" --max-new-tokens "$tokens" \
    --ways ours,A,B,prefill --repeats 1 --results "$out/generation.jsonl"
timeout 220 python -m benchmarks.vllm_adapters "$model" --dtype "$dtype" --requests "${REQUESTS:-64}" \
    --new-tokens "$tokens" --results "$out/vllm.jsonl"
