# Values of rma.mh, rma.peto and rma.glmm, for tests/test_rare_events.py and
# tests/test_binomial_normal.py. Run in this folder: Rscript run_rare_events.R
# Writes rare_events.json. The generalised linear mixed models take a few minutes.

suppressMessages({library(metafor); library(metadat)})

number <- function(x) ifelse(is.na(x) | !is.finite(x), "null", sprintf("%.17g", x))
column <- function(x) paste0("[", paste(number(as.numeric(x)), collapse = ", "), "]")
text <- function(x) paste0('"', gsub('"', '\\\\"', x), '"')
object <- function(items) {
  paste0("{", paste0(text(names(items)), ": ", unlist(items), collapse = ",\n"), "}")
}
scalars <- function(items) object(lapply(items, function(x) number(as.numeric(x))))

counts <- function(data, ai, n1i, ci, n2i) {
  frame <- data.frame(ai = data[[ai]], n1i = data[[n1i]], ci = data[[ci]], n2i = data[[n2i]])
  frame[complete.cases(frame), ]
}
bcg <- dat.bcg
bcg$n1 <- bcg$tpos + bcg$tneg
bcg$n2 <- bcg$cpos + bcg$cneg
sets <- list(
  "dat.bcg" = counts(bcg, "tpos", "n1", "cpos", "n2"),
  "dat.hine1989" = counts(dat.hine1989, "ai", "n1i", "ci", "n2i"),
  "dat.li2007" = counts(dat.li2007, "ai", "n1i", "ci", "n2i"),
  "dat.nielweise2007" = counts(dat.nielweise2007, "ai", "n1i", "ci", "n2i"),
  "dat.yusuf1985 table 6" =
    counts(dat.yusuf1985[dat.yusuf1985$table == "6", ], "ai", "n1i", "ci", "n2i"),
  "dat.hahn2001" = counts(dat.hahn2001, "ai", "n1i", "ci", "n2i"),
  "dat.linde2005" = counts(dat.linde2005, "ai", "n1i", "ci", "n2i"),
  # Crins et al. (2014), acute rejection; CrinsEtAl2014 of the R package bayesmeta.
  "crins2014 acute rejection" = data.frame(
    ai = c(14, 16, 3, 9, 4, 0), n1i = c(61, 28, 18, 54, 36, 50),
    ci = c(15, 19, 8, 29, 11, 3), n2i = c(20, 28, 12, 54, 36, 34)),
  # Invented counts: every kind of zero cell, arms without the event, arms with nothing else.
  "zeros of every kind" = data.frame(
    ai = c(0, 0, 3, 12, 1, 0, 9, 2), n1i = c(20, 35, 3, 12, 40, 25, 9, 55),
    ci = c(0, 4, 1, 11, 0, 2, 9, 5), n2i = c(21, 33, 4, 11, 18, 50, 10, 54)),
  "two small trials" = data.frame(ai = c(1, 0), n1i = c(12, 15), ci = c(4, 2), n2i = c(11, 16))
)

mh <- function(d, measure, correct = TRUE) {
  suppressWarnings(rma.mh(measure = measure, ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = d,
                          correct = correct))
}
common <- function(fit) {
  list(estimate = fit$beta, se = fit$se, statistic = fit$zval, p_value = fit$pval,
       ci_low = fit$ci.lb, ci_high = fit$ci.ub, q = fit$QE, q_df = fit$k.yi - 1,
       q_p_value = fit$QEp, i2_percent = fit$I2, h2 = fit$H2)
}
glmm <- function(d, model) {
  start <- proc.time()[3]
  fit <- try(suppressWarnings(rma.glmm(
    measure = "OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = d, model = model,
    nAGQ = if (model == "UM.FS") 25 else 7)), silent = TRUE)
  message(model, " ", round(proc.time()[3] - start), " s", if (inherits(fit, "try-error")) fit)
  if (inherits(fit, "try-error") || is.null(fit$beta) || is.na(fit$se)) return("null")
  scalars(list(estimate = fit$beta, se = fit$se, tau2 = fit$tau2,
               log_likelihood = fit$fit.stats["ll", "ML"], q_lrt = fit$QE.LRT, q_df = fit$QE.df))
}

block <- function(name) {
  d <- sets[[name]]
  message(name)
  fits <- list()
  for (measure in c("OR", "RR", "RD")) {
    fit <- mh(d, measure)
    values <- common(fit)
    if (measure == "OR") {
      plain <- mh(d, "OR", FALSE)
      values <- c(values, list(
        cmh = fit$MH, cmh_p = fit$MHp, cmh_plain = plain$MH, cmh_plain_p = plain$MHp,
        breslow_day = fit$BD, breslow_day_p = fit$BDp, tarone = fit$TA, tarone_p = fit$TAp,
        equal_df = fit$k.pos - 1))
    }
    fits[[paste0("mh_", measure)]] <- scalars(values)
  }
  fits$peto <- scalars(common(suppressWarnings(
    rma.peto(ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = d))))
  # metafor's exact conditional likelihood is too slow for tables with thousands of events.
  fits$glmm_unconditional <- glmm(d, "UM.FS")
  fits$glmm_conditional <- if (max(d$ai + d$ci) < 1500) glmm(d, "CM.EL") else "null"
  object(c(list(inputs = object(lapply(as.list(d), column))), fits))
}

writeLines(object(list(
  source = object(list(
    software = text("R with metafor and lme4"),
    r_version = text(as.character(getRversion())),
    metafor_version = text(as.character(packageVersion("metafor"))),
    metadat_version = text(as.character(packageVersion("metadat"))),
    lme4_version = text(as.character(packageVersion("lme4"))),
    script = text("run_rare_events.R"),
    calls = paste0("[", paste(text(c(
      "rma.mh(measure='OR'|'RR'|'RD', correct=TRUE|FALSE)", "rma.peto()",
      "rma.glmm(measure='OR', model='UM.FS', nAGQ=25)", "rma.glmm(measure='OR', model='CM.EL')"
    )), collapse = ", "), "]"),
    note = text("i2_percent is in per cent; glmm values are good to about three digits")
  )),
  sets = object(setNames(lapply(names(sets), block), names(sets)))
)), "rare_events.json")
