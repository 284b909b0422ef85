#!/bin/sh
# Runs every suite in each engine of ENGINES, by default in Chromium.
set -eu
cd "$(dirname "$0")"
for engine in $(echo "${ENGINES:-chromium}" | tr , ' '); do
  echo "== $engine"
  ENGINES=$engine node --test --test-concurrency=1 ./*.test.js
done
