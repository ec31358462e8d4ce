# Writes subgroups.json: subgroups with a common tau-squared, rma(mods = ~ group), from the inputs in
# metafor.json. Run from this folder: Rscript run_subgroups.R
suppressMessages({library(metafor); library(jsonlite)})

stored <- fromJSON("metafor.json", simplifyVector = TRUE)$datasets
tight <- list(threshold = 1e-13, tol = 1e-13, maxiter = 1e5, tau2.max = 1e4)
out <- list()
for (key in names(stored)) {
  inputs <- stored[[key]]$inputs
  if (is.null(inputs$group)) next
  group <- factor(inputs$group)
  yi <- inputs$yi; vi <- inputs$vi
  fits <- list()
  for (method in c("DL", "REML", "FE")) for (test in c("z", "knha", "adhoc")) {
    moderation <- suppressWarnings(rma(yi, vi, mods = ~ group, method = method, test = test, control = tight))
    means <- suppressWarnings(rma(yi, vi, mods = ~ group - 1, method = method, test = test, control = tight))
    fits[[paste(method, test)]] <- list(
      QM = moderation$QM, QMp = moderation$QMp, QMdf = moderation$QMdf, tau2 = moderation$tau2,
      beta = as.numeric(means$beta), se = means$se, ci.lb = means$ci.lb, ci.ub = means$ci.ub)
  }
  out[[key]] <- list(levels = levels(group), fits = fits)
}
result <- list(
  meta = list(call = "rma(yi, vi, mods = ~ group) and rma(yi, vi, mods = ~ group - 1)",
              metafor = as.character(packageVersion("metafor")), R = R.version.string),
  datasets = out)
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, null = "null", na = "null"), "subgroups.json")
