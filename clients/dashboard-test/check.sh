#!/bin/sh
# Checks the dashboard's JSDoc types, on a copy in which uPlot's declarations replace its code. The assets have no declarations,
# because the browser doesn't need them.
set -eu
cd "$(dirname "$0")"
rm -rf .checked
mkdir .checked
cp ../../crates/housecount-server/assets/*.js .checked/
rm .checked/uplot.js
cp node_modules/uplot/dist/uPlot.d.ts .checked/uplot.d.ts
exec npx tsc --project tsconfig.json
