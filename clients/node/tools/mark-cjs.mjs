/** Marks dist/cjs as CommonJS, because the package has the type "module". */

import { writeFileSync } from "node:fs";

writeFileSync(new URL("../dist/cjs/package.json", import.meta.url), '{ "type": "commonjs" }\n');
