# Times metafor inside one R process. Reads "task repetitions" lines, answers the processor seconds of one
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

# As large as ketameta's, and of as many pixels.
drawn <- function(n, device, width = 7.09, height = 4.27, ...) for (i in seq_len(n)) {
  device(file.path(tempdir(), "forest"), width = width, height = height, ...)
  forest(fit("k13"))
  dev.off()
}

tasks <- list(
  fit_13 = function(n) for (i in seq_len(n)) fit("k13"),
  fit_100 = function(n) for (i in seq_len(n)) fit("k100"),
  fit_1000 = function(n) for (i in seq_len(n)) fit("k1000"),
  full_13 = function(n) for (i in seq_len(n)) { r <- fit("k13"); confint(r); predict(r) },
  full_100 = function(n) for (i in seq_len(n)) { r <- fit("k100"); confint(r); predict(r) },
  full_1000 = function(n) for (i in seq_len(n)) { r <- fit("k1000"); confint(r); predict(r) },
  regression_48 = function(n) for (i in seq_len(n)) with(data("k48"),
    rma(yi, vi, mods = x, method = "REML", test = "adhoc")),
  egger_100 = function(n) for (i in seq_len(n)) regtest(fit("k100")),
  escalc_13 = function(n) for (i in seq_len(n)) with(data("arms13"), escalc("SMD",
    m1i = mean_treatment, sd1i = sd_treatment, n1i = n_treatment,
    m2i = mean_control, sd2i = sd_control, n2i = n_control)),
  selection_100 = function(n) for (i in seq_len(n)) selmodel(
    with(data("k100"), rma(yi, vi, method = "ML")), type = "stepfun", steps = 0.025, skiphes = TRUE),
  trimfill_100 = function(n) for (i in seq_len(n)) trimfill(fit("k100")),
  forest_svg = function(n) drawn(n, svg), forest_pdf = function(n) drawn(n, pdf),
  forest_png = function(n) drawn(n, png, width = 709, height = 427, res = 100),
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
  seconds <- tryCatch(
    sum(system.time(suppressWarnings(tasks[[words[1]]](n)), gcFirst = FALSE)[1:2]),
    error = function(problem) NA)
  cat(format(seconds / n, digits = 8), "\n", sep = "")
}
