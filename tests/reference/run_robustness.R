# Influence, leave-one-out, cumulative, GOSH and small-study values by metafor, for
# tests/test_influence.py, test_gosh.py and test_small_study.py.
# Run in this folder: Rscript run_robustness.R
# Reads the data sets of metafor.json; writes robustness.json.

suppressMessages({library(metafor); library(jsonlite)})

datasets <- fromJSON("metafor.json", simplifyVector = TRUE)$datasets
LIMIT <- 25  # larger sets get fewer variants, to keep the file small

# Thresholds are absolute changes of tau-squared; the tightest that converges everywhere is used.
# Where none does, the values that did converge are kept and the others are null.
settled <- function(fun, complete) {
  for (threshold in 10^-(13:8)) {
    control <- list(threshold = threshold, maxiter = 20000, tol = 1e-14)
    value <- try(suppressWarnings(fun(control)), silent = TRUE)
    if (!inherits(value, "try-error") && complete(value)) return(value)
  }
  if (!inherits(value, "try-error")) return(value)
  list(error = conditionMessage(attr(value, "condition")))
}
fitted <- function(d, method, test, X = NULL, control) {
  args <- list(yi = d$inputs$yi, vi = d$inputs$vi, method = method, test = test, control = control)
  if (!is.null(X)) args$mods <- X
  do.call(rma, args)
}
numbers <- function(x) lapply(unclass(x), function(z) unname(as.numeric(z)))
no_na <- function(x) !anyNA(unlist(x))

case_influence <- function(d, method, test, X = NULL) settled(function(control) {
  out <- influence(fitted(d, method, test, X, control))
  # list.rma subsets its rows, not its names
  inf <- numbers(unclass(out$inf)[c("rstudent", "dffits", "cook.d", "cov.r", "tau2.del", "QE.del",
                                    "hat", "weight")])
  dfbs <- numbers(unclass(out$dfbs)[seq_len(out$p)])
  c(inf, list(dfbs = dfbs, is.infl = unname(out$is.infl)))
}, function(x) no_na(x[c("rstudent", "tau2.del", "QE.del")]))

keep <- c("estimate", "se", "zval", "tval", "pval", "pvals", "ci.lb", "ci.ub", "Q", "Qp", "tau2",
          "I2", "H2")
columns <- function(out) {
  out <- unclass(out)
  out <- numbers(out[intersect(keep, names(out))])
  names(out)[names(out) %in% c("zval", "tval")] <- "stat"
  names(out)[names(out) == "pvals"] <- "pval"
  out
}
one_out <- function(d, method, test)
  settled(function(control) columns(leave1out(fitted(d, method, test, NULL, control))), no_na)
in_order <- function(d, method, test, key) settled(function(control) {
  fit <- fitted(d, method, test, NULL, control)
  fit$data <- NULL
  columns(cumul(fit, order = key))
}, no_na)
all_subsets <- function(d, method) settled(function(control) {
  pdf(NULL)
  out <- gosh(fitted(d, method, "z", NULL, control), progbar = FALSE)
  dev.off()
  c(numbers(out$res), list(included = apply(out$incl * 1, 1, paste, collapse = "")))
}, no_na)
baujat_points <- function(d, method, test) settled(function(control) {
  pdf(NULL)
  out <- baujat(fitted(d, method, test, NULL, control))
  dev.off()
  numbers(as.list(out)[c("x", "y")])
}, no_na)

egger <- function(d, method, test, model, predictor) settled(function(control) {
  args <- list(fitted(d, method, test, NULL, control), model = model, predictor = predictor)
  if (!is.null(d$inputs$ni)) args$ni <- d$inputs$ni
  out <- do.call(regtest, args)
  fit <- out$fit
  slope <- if (model == "lm") coef(summary(fit))[2, 1:2] else c(fit$beta[2], fit$se[2])
  list(stat = unname(out$zval), pval = unname(out$pval), df = out$ddf, slope = unname(slope[1]),
       slope.se = unname(slope[2]), est = unname(out$est), est.ci = unname(c(out$ci.lb, out$ci.ub)),
       tau2 = if (model == "rma") fit$tau2 else NULL)
}, function(x) no_na(x[c("stat", "pval")]))
fill <- function(d, method, test, estimator, side) settled(function(control) {
  fit <- fitted(d, method, test, NULL, control)
  out <- if (is.null(side)) trimfill(fit, estimator = estimator, control = control)
         else trimfill(fit, estimator = estimator, side = side, control = control)
  list(k0 = out$k0, se.k0 = out$se.k0, side = out$side, beta = c(out$beta), se = out$se,
       ci = c(out$ci.lb, out$ci.ub), tau2 = out$tau2, QE = out$QE,
       yi.filled = I(out$yi[out$fill]), vi.filled = I(out$vi[out$fill]))
}, function(x) no_na(x[c("k0", "beta")]))
# hc() integrates to a relative 1.2e-4 and stops its root at the same; here both are tight.
tight_hc <- getFromNamespace("hc.rma.uni", "metafor")
body(tight_hc) <- parse(text = sub("integrate\\(integrand, lower = x, upper = Inf\\)",
  "integrate(integrand, lower = x, upper = Inf, rel.tol = 1e-12, subdivisions = 1000L)",
  paste(deparse(body(tight_hc)), collapse = "\n")))[[1]]
henmi_copas <- function(d) {
  out <- suppressWarnings(tight_hc(rma(d$inputs$yi, d$inputs$vi, method = "DL"),
                                   control = list(tol = 1e-13)))
  list(beta = c(out$beta), se = out$se, ci = c(out$ci.lb, out$ci.ub), tau2 = out$tau2)
}
# Peters et al. (2006): log odds ratio on 1 / n, weights (1 / events + 1 / non-events)^-1.
peters <- function(d) {
  raw <- d$inputs$raw
  rows <- d$inputs$rows_used
  if (is.null(raw$ai)) {
    ai <- raw$tpos; n1i <- raw$tpos + raw$tneg; ci <- raw$cpos; n2i <- raw$cpos + raw$cneg
  } else { ai <- raw$ai; n1i <- raw$n1i; ci <- raw$ci; n2i <- raw$n2i }
  if (length(ai) != length(d$inputs$yi)) {
    ai <- ai[rows]; n1i <- n1i[rows]; ci <- ci[rows]; n2i <- n2i[rows]
  }
  e <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, drop00 = FALSE)
  events <- ai + ci
  n <- n1i + n2i
  ok <- events > 0 & events < n
  out <- summary(lm(c(e$yi) ~ I(1 / n), weights = 1 / (1 / events + 1 / (n - events)), subset = ok))
  list(ai = ai[ok], n1i = n1i[ok], ci = ci[ok], n2i = n2i[ok], yi = c(e$yi)[ok], vi = c(e$vi)[ok],
       coef = unname(out$coefficients[, 1]), se = unname(out$coefficients[, 2]),
       stat = out$coefficients[2, 3], pval = out$coefficients[2, 4], df = out$df[2])
}

blocks <- lapply(names(datasets), function(name) {
  d <- datasets[[name]]
  k <- length(d$inputs$yi)
  message(name)
  X <- if (is.null(d$inputs$mods)) NULL else as.matrix(as.data.frame(d$inputs$mods))
  if (!is.null(X) && !is.numeric(X)) X <- NULL
  small <- k <= LIMIT
  out <- list(influence = list(REML_z = case_influence(d, "REML", "z"),
                               DL_z = case_influence(d, "DL", "z")),
              leave1out = list(REML_z = one_out(d, "REML", "z"), DL_z = one_out(d, "DL", "z")),
              cumul = list(REML_z = in_order(d, "REML", "z", seq_len(k)),
                           REML_z_by_vi = in_order(d, "REML", "z", d$inputs$vi)),
              small_study = list(rma_sei_adhoc = egger(d, "REML", "adhoc", "rma", "sei"),
                                 rma_sei_FE = egger(d, "FE", "z", "rma", "sei"),
                                 lm_vi = egger(d, "REML", "z", "lm", "vi"),
                                 fill_L0 = fill(d, "REML", "z", "L0", NULL),
                                 fill_R0 = fill(d, "REML", "z", "R0", NULL),
                                 fill_Q0 = fill(d, "REML", "z", "Q0", NULL),
                                 hc = henmi_copas(d),
                                 fill_L0_FE = fill(d, "FE", "z", "L0", NULL),
                                 fill_L0_left = fill(d, "REML", "z", "L0", "left"),
                                 fill_L0_right = fill(d, "REML", "z", "L0", "right"),
                                 fill_R0_left = fill(d, "REML", "z", "R0", "left")))
  if (small) {
    out$influence$FE_z <- case_influence(d, "FE", "z")
    out$influence$REML_knha <- case_influence(d, "REML", "knha")
    out$influence$REML_adhoc <- case_influence(d, "REML", "adhoc")
    out$leave1out$FE_z <- one_out(d, "FE", "z")
    out$leave1out$REML_knha <- one_out(d, "REML", "knha")
    out$leave1out$REML_adhoc <- one_out(d, "REML", "adhoc")
    out$leave1out$ML_z <- one_out(d, "ML", "z")
    for (method in c("PM", "HE", "HS", "SJ", "EB"))
      out$leave1out[[paste0(method, "_z")]] <- one_out(d, method, "z")[c("estimate", "se", "tau2")]
    out$cumul$REML_adhoc <- in_order(d, "REML", "adhoc", seq_len(k))
    out$cumul$FE_z <- in_order(d, "FE", "z", seq_len(k))
    out$baujat <- list(REML_adhoc = baujat_points(d, "REML", "adhoc"),
                       DL_z = baujat_points(d, "DL", "z"))
  }
  if (!is.null(X)) {
    out$influence$mods_REML_z <- case_influence(d, "REML", "z", X)
    if (small) out$influence$mods_REML_adhoc <- case_influence(d, "REML", "adhoc", X)
  }
  if (k <= 6) out$gosh <- list(REML = all_subsets(d, "REML"), DL = all_subsets(d, "DL"))
  if (name == "normand1999_SMD") out$gosh <- list(REML = all_subsets(d, "REML"))
  if (!is.null(d$inputs$ni))
    for (predictor in c("ni", "ninv", "sqrtni", "sqrtninv"))
      for (model in c("rma", "lm"))
        out$small_study[[paste(model, predictor, sep = "_")]] <-
          egger(d, "REML", "z", model, predictor)
  if (grepl("^(OR|RR|RD)", d$measure) && !is.null(d$inputs$raw)) out$peters <- peters(d)
  out
})
names(blocks) <- names(datasets)

writeLines(toJSON(list(
  source = list(
    software = "R with metafor", r_version = as.character(getRversion()),
    metafor_version = as.character(packageVersion("metafor")), script = "run_robustness.R",
    inputs = "yi, vi, mods, ni and raw counts of metafor.json",
    calls = c("influence(rma(...))", "leave1out(rma(...))", "cumul(rma(...), order = )",
              "baujat(rma(...))", "gosh(rma(...))", "regtest(rma(...), model = , predictor = )",
              "trimfill(rma(...), estimator = , side = )",
              "lm(log OR ~ I(1/n), weights = (1/events + 1/non-events)^-1)"),
    note = paste("Absolute threshold 1e-13 (REML, ML, EB) and tol 1e-14 (PM), or the smallest power",
                 "of ten that converged; null where none did.")),
  datasets = blocks), auto_unbox = TRUE, digits = I(12), na = "null", null = "null"),
  "robustness.json")
