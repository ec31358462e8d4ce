#!/bin/sh
# Runs every R script of this folder, which writes its JSON beside it. Needs Rscript with metafor,
# metadat, clubSandwich, lme4, BiasedUrn and jsonlite (Debian: r-base-core r-cran-metafor
# r-cran-metadat r-cran-clubsandwich r-cran-lme4 r-cran-biasedurn r-cran-jsonlite).
# Never needed to run ketameta or its tests.
set -eu
cd "$(dirname "$0")"
command -v Rscript >/dev/null || {
    echo "Rscript is not installed; the stored values are enough to run the tests." >&2
    exit 1
}
for script in run_*.R; do
    echo "$script"
    Rscript "$script"
done
