# Times metafor inside one R process. Reads "task repetitions" lines, answers the seconds of one
# repetition; data come from the CSV files in the folder given as the argument. "quit" ends it.
suppressPackageStartupMessages(library(metafor))
folder <- commandArgs(trailingOnly = TRUE)[1]
read <- function(name) read.csv(file.path(folder, paste0(name, ".csv")))
memo <- new.env()
data <- function(name) {
  if (is.null(memo[[name]])) memo[[name]] <- read(name)
  memo[[name]]
}
fit <- function(name) with(data(name), rma(yi, vi, method = "REML", test = "adhoc"))

tasks <- list(
  fit_13 = function(n) for (i in seq_len(n)) fit("k13"),
  fit_100 = function(n) for (i in seq_len(n)) fit("k100"),
  fit_1000 = function(n) for (i in seq_len(n)) fit("k1000"),
  full_13 = function(n) for (i in seq_len(n)) { r <- fit("k13"); confint(r); predict(r) },
  full_100 = function(n) for (i in seq_len(n)) { r <- fit("k100"); confint(r); predict(r) },
  full_1000 = function(n) for (i in seq_len(n)) { r <- fit("k1000"); confint(r); predict(r) },
  # repetitions are permutations, subsets or simulated meta-analyses
  permutation = function(n) {
    r <- with(data("k48"), rma(yi, vi, mods = x, method = "REML", test = "adhoc"))
    set.seed(1)
    invisible(permutest(r, iter = n, progbar = FALSE))
  },
  gosh_13 = function(n) { set.seed(1); invisible(gosh(fit("k13"), subsets = n, progbar = FALSE)) },
  gosh_40 = function(n) { set.seed(1); invisible(gosh(fit("k40"), subsets = n, progbar = FALSE)) },
  simulate = function(n) {
    d <- data("k10")
    set.seed(1)
    y <- matrix(rnorm(10 * n, 0, sqrt(d$vi + 0.1)), 10)
    for (i in seq_len(n)) rma(y[, i], d$vi, method = "REML", test = "adhoc")
  },
  influence = function(n) for (i in seq_len(n)) { r <- fit("k100"); leave1out(r); influence(r) },
  multilevel_500 = function(n) for (i in seq_len(n)) with(data("effects500"),
    rma.mv(yi, vi, random = ~ 1 | study / effect, sparse = TRUE)),
  multilevel_5000 = function(n) for (i in seq_len(n)) with(data("effects5000"),
    rma.mv(yi, vi, random = ~ 1 | study / effect, sparse = TRUE))
)

input <- file("stdin", "r")
cat(R.version.string, "; metafor ", as.character(packageVersion("metafor")), "\n", sep = "")
while (length(line <- readLines(input, 1)) > 0 && line != "quit") {
  words <- strsplit(line, " ")[[1]]
  n <- as.integer(words[2])
  seconds <- system.time(suppressWarnings(tasks[[words[1]]](n)), gcFirst = FALSE)[["elapsed"]]
  cat(format(seconds / n, digits = 8), "\n", sep = "")
}
