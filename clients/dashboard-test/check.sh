#!/bin/sh
# Checks the types that the dashboard's comments say. On a copy, so that uPlot's declarations, which the browser doesn't
# need and the assets therefore don't have, stand in for its code.
set -eu
cd "$(dirname "$0")"
rm -rf .checked
mkdir .checked
cp ../../crates/housecount/assets/*.js .checked/
rm .checked/uplot.js
cp node_modules/uplot/dist/uPlot.d.ts .checked/uplot.d.ts
exec npx tsc --project tsconfig.json
