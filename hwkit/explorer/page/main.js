// The script of the page, and of its worker.

import { startPage } from "./page.js";
import { serve } from "./tasks.js";

if (typeof document === "undefined") serve();
else startPage(document.getElementById("app"));
