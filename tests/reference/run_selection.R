# The three-parameter selection model on the trials of magnesium (dat.egger2001), by metafor from its
# own start and from a better one, for tests/test_selection_model.py.
# Run in this folder: Rscript run_selection.R
# Writes selection_magnesium.json.

suppressMessages({library(metafor); library(jsonlite)})

data <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.egger2001)
fit <- rma(yi, vi, data = data, method = "ML", control = list(threshold = 1e-12, maxiter = 10000))
climb <- function(control) {
  out <- suppressWarnings(selmodel(fit, type = "stepfun", alternative = "less", steps = 0.025,
                                   control = control))
  list(ll = c(logLik(out)), beta = c(out$beta), tau2 = out$tau2, delta = out$delta)
}
writeLines(toJSON(list(
  source = list(
    software = "R with metafor", r_version = as.character(getRversion()),
    metafor_version = as.character(packageVersion("metafor")), script = "run_selection.R",
    calls = c("selmodel(rma(yi, vi, method='ML'), type='stepfun', alternative='less', steps=0.025)",
              "the same with control=list(beta.init=0.04, tau2.init=1e-6, delta.init=c(1, 0.03))")),
  inputs = list(yi = c(data$yi), vi = c(data$vi)),
  default_start = climb(list()),
  better_start = climb(list(beta.init = 0.04, tau2.init = 1e-6, delta.init = c(1, 0.03)))),
  auto_unbox = TRUE, digits = I(14), na = "null"), "selection_magnesium.json")
