# Refits the blocks `re` and `mods` of metafor.json from the inputs stored there, and writes them back.
# The other blocks of the file are left as they are. Run from this folder: Rscript run_metafor.R [output]
#
# metafor's default tolerances are absolute (see scale.json), so the searches are run tightly.
suppressMessages({library(metafor); library(jsonlite)})

output <- commandArgs(trailingOnly = TRUE)
output <- if (length(output)) output[1] else "metafor.json"
stored <- fromJSON("metafor.json", simplifyVector = FALSE)
numbers <- function(x) as.numeric(unlist(x))

# The first threshold at which Fisher scoring converges; large variances cannot reach 1e-13.
fit_tightly <- function(...) {
  for (threshold in c(1e-13, 1e-12, 1e-11, 1e-10, 1e-9)) {
    control <- list(threshold = threshold, tol = 1e-14, maxiter = 1e5, tau2.max = 1e5)
    fit <- try(suppressWarnings(rma(..., control = control)), silent = TRUE)
    if (!inherits(fit, "try-error")) return(list(fit = fit, threshold = threshold))
  }
  stop("no threshold converged")
}

block <- function(yi, vi, mods, method, test) {
  found <- if (is.null(mods)) fit_tightly(yi, vi, method = method, test = test)
           else fit_tightly(yi, vi, mods = mods, method = method, test = test)
  fit <- found$fit
  new <- if (is.null(mods)) NULL else colMeans(mods)
  pred <- if (is.null(mods)) predict(fit) else predict(fit, newmods = new)
  df <- fit$k - fit$p - 1
  half <- if (df >= 1) qt(0.975, df) * sqrt(pred$se^2 + fit$tau2) else NA
  out <- list(
    names = rownames(fit$beta), tau2 = fit$tau2, se.tau2 = fit$se.tau2, QE = fit$QE, QEp = fit$QEp,
    I2 = fit$I2, H2 = fit$H2, R2 = if (is.null(fit$R2)) list() else fit$R2, k = fit$k, p = fit$p,
    s2w = fit$s2w, threshold = found$threshold, beta = as.numeric(fit$beta), se = fit$se,
    stat = fit$zval, pval = fit$pval, ci.lb = fit$ci.lb, ci.ub = fit$ci.ub, ddf = fit$ddf,
    QM = fit$QM, QMp = fit$QMp, QMdf = fit$QMdf)
  if (!is.null(new)) out$newmods <- as.numeric(new)
  out$pi <- list(pred = pred$pred, se = pred$se, ci.lb = pred$ci.lb, ci.ub = pred$ci.ub,
                 pi.lb = if (is.null(pred$pi.lb)) list() else pred$pi.lb,
                 pi.ub = if (is.null(pred$pi.ub)) list() else pred$pi.ub)
  out$pi.HTS <- list(df = df, pi.lb = pred$pred - half, pi.ub = pred$pred + half)
  if (test == "z") {
    out$logLik <- fit$fit.stats[[if (method == "REML") "REML" else "ML"]]
    if (method != "FE") {
      control <- list(tol = 1e-14, maxiter = 1e5, tau2.max = max(1e5, 1000 * fit$tau2))
      types <- if (method %in% c("ML", "REML")) c("QP", "PL") else "QP"
      for (type in types) {
        ci <- confint(fit, type = type, control = control)
        out[[paste0("tau2.ci.", type)]] <- list(
          tau2.lb = ci$random[1, 2], tau2.ub = ci$random[1, 3],
          I2.lb = ci$random[3, 2], I2.ub = ci$random[3, 3],
          lb.sign = ci$lb.sign, ub.sign = ci$ub.sign)
      }
    }
  }
  out
}

for (key in names(stored$datasets)) {
  inputs <- stored$datasets[[key]]$inputs
  yi <- numbers(inputs$yi); vi <- numbers(inputs$vi)
  designs <- list(re = NULL)
  if (!is.null(inputs$mods)) designs$mods <- sapply(inputs$mods, numbers)
  for (kind in c("re", if (!is.null(inputs$mods)) "mods")) {
    for (method in c("FE", "DL", "PM", "HE", "HS", "SJ", "ML", "REML", "EB")) {
      for (test in c("z", "knha", "adhoc")) {
        stored$datasets[[key]]$outputs[[kind]][[method]][[test]] <-
          block(yi, vi, designs[[kind]], method, test)
      }
    }
  }
}
writeLines(toJSON(stored, digits = NA, auto_unbox = TRUE, null = "null", na = "null"), output)
