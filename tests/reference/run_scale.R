# Writes scale.json: metafor with its default tolerances on effects measured in small units, and the
# same fits with tight tolerances on the data in units of their median standard error.
# Run from this folder: Rscript run_scale.R
suppressMessages({library(metafor); library(jsonlite)})

one <- function(name, measure) {
  raw <- get(name)
  if (name == "dat.collins1985b")
    raw <- with(raw, data.frame(ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci))
  dat <- escalc(measure = measure, ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = raw)
  dat <- dat[!is.na(dat$yi), ]
  s <- sqrt(median(dat$vi))
  out <- list(yi = as.numeric(dat$yi), vi = as.numeric(dat$vi), fits = list())
  for (method in c("PM", "ML", "REML")) {
    plain <- suppressWarnings(rma(yi, vi, data = dat, method = method))
    tight <- rma(yi / s, vi / s^2, data = dat, method = method,
                 control = list(tau2.max = 1e4, threshold = 1e-13, tol = 1e-13, maxiter = 1e5))
    qp_plain <- suppressWarnings(confint(plain)$random[1, 2:3])
    qp_tight <- confint(tight, control = list(tau2.max = 1e4, tol = 1e-13))$random[1, 2:3]
    out$fits[[method]] <- list(
      default = list(tau2 = plain$tau2, z = plain$zval, qp = as.numeric(qp_plain)),
      tight = list(tau2 = tight$tau2 * s^2, z = tight$zval, qp = as.numeric(qp_tight) * s^2))
  }
  out
}

result <- list(
  meta = list(
    call = "rma(yi, vi, method=) on escalc(measure = 'RD'), defaults; tight: data / sqrt(median(vi))",
    metafor = as.character(packageVersion("metafor")),
    metadat = as.character(packageVersion("metadat")),
    R = R.version.string),
  datasets = list(
    graves2010_RD = one("dat.graves2010", "RD"),
    nielweise2007_RD = one("dat.nielweise2007", "RD"),
    collins1985b_RD = one("dat.collins1985b", "RD")))
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, null = "null"), "scale.json")
