# Regenerates dose_response.json: one-stage dose-response models through rma.mv with random slopes.
# Invented arms; covariance of log risk ratios and mean differences from the shared control.
# Run from this folder: Rscript run_dose_response.R
suppressMessages({
  library(metafor)
  library(jsonlite)
})

tightly <- function(...) {
  arguments <- list(...)
  for (tolerance in 10^-(13:9)) {
    arguments$control <- list(rel.tol = tolerance, iter.max = 1e4, eval.max = 1e4)
    fit <- try(do.call(rma.mv, arguments), silent = TRUE)
    if (!inherits(fit, "try-error")) return(fit)
  }
  stop(fit)
}

# Restricted cubic spline: the dose and one column of curvature per knot beyond the second.
curvature <- function(x, t) {
  m <- length(t)
  up <- function(a) pmax(x - a, 0)^3
  sapply(seq_len(m - 2), function(j) {
    (up(t[j]) - up(t[m - 1]) * (t[m] - t[j]) / (t[m] - t[m - 1]) +
       up(t[m]) * (t[m - 1] - t[j]) / (t[m] - t[m - 1])) / (t[m] - t[1])^2
  })
}

outputs <- function(fit, extra = list()) {
  c(list(beta = as.vector(fit$beta), vcov = unname(vcov(fit)), ll = as.vector(logLik(fit)),
         QM = fit$QM, QMp = fit$QMp, QE = fit$QE, QEp = fit$QEp), extra)
}

fit_all <- function(data, V) {
  arms <- c(data$dose, rep(0, length(unique(data$study))))
  knots <- as.vector(quantile(arms, c(0.1, 0.5, 0.9)))
  data$curve <- as.vector(curvature(data$dose, knots))
  linear <- ~ 0 + dose
  spline <- ~ 0 + dose + curve
  one <- tightly(yi = data$yi, V = V, mods = linear, random = ~ 0 + dose | study, struct = "GEN",
                 data = data)
  two <- tightly(yi = data$yi, V = V, mods = spline, random = ~ 0 + dose + curve | study,
                 struct = "GEN", data = data)
  grid <- c(0.5, 1, 2, 3)
  at <- cbind(grid, curvature(grid, knots))
  list(
    data = data[c("study", "dose", "yi", "vi")], V = V, knots = knots, grid = grid,
    linear_common = outputs(rma.mv(yi, V, mods = linear, data = data)),
    linear_REML = outputs(one, list(tau2 = one$tau2)),
    spline_common = outputs(rma.mv(yi, V, mods = spline, data = data), list(
      nonlinear = anova(rma.mv(yi, V, mods = spline, data = data), btt = 2)$QMp,
      predicted = unname(as.matrix(as.data.frame(predict(
        rma.mv(yi, V, mods = spline, data = data), newmods = at))[c("pred", "se", "ci.lb", "ci.ub")])))),
    spline_REML = outputs(two, list(between = unname(two$G), nonlinear = anova(two, btt = 2)$QMp))
  )
}

# Log risk ratios: eight trials with one to four doses
set.seed(20)
doses <- list(c(1, 2, 3), c(1, 2, 3), c(0.5, 1, 2, 4), c(2, 3), c(1, 3), c(3), c(2), c(1, 2, 4))
rows <- do.call(rbind, lapply(seq_along(doses), function(i) {
  d <- doses[[i]]
  slope <- 0.35 + 0.22 * rnorm(1)
  n <- round(runif(length(d) + 1, 60, 180))
  p <- 0.12 * exp(slope * c(0, d) - 0.035 * c(0, d)^2)
  e <- rbinom(length(n), n, pmin(p, 0.9))
  data.frame(study = paste0("trial ", i), dose = d, events_treatment = e[-1],
             n_treatment = n[-1], events_control = e[1], n_control = n[1])
}))
rows <- escalc(measure = "RR", ai = events_treatment, n1i = n_treatment, ci = events_control,
               n2i = n_control, data = rows)
shared <- with(rows, 1 / events_control - 1 / n_control)
V <- outer(rows$study, rows$study, "==") * shared
diag(V) <- rows$vi
ratio <- c(list(counts = as.data.frame(rows)[3:6]), fit_all(as.data.frame(rows), unname(V)))

# Mean differences: seven trials, standard deviation 9 in every arm
set.seed(4)
doses <- list(c(28, 56, 84), c(56, 84), c(28, 84), c(28, 56, 84), c(56, 84), c(84), c(28, 56))
rows <- do.call(rbind, lapply(seq_along(doses), function(i) {
  d <- doses[[i]] / 28
  n <- round(runif(length(d) + 1, 30, 120))
  slope <- -1.6 + 0.8 * rnorm(1)
  m <- c(0, slope * d + 0.2 * d^2) + rnorm(length(n), 0, 9 / sqrt(n))
  data.frame(study = paste0("trial ", i), dose = d, yi = m[-1] - m[1],
             vi = 81 / n[-1] + 81 / n[1], shared = 81 / n[1])
}))
V <- outer(rows$study, rows$study, "==") * rows$shared
diag(V) <- rows$vi
difference <- fit_all(rows, unname(V))

result <- list(
  meta = list(source = "run_dose_response.R", R = R.version.string,
              metafor = as.character(packageVersion("metafor")),
              note = "rma.mv by nlminb with the tightest rel.tol that converges; tests are Wald z"),
  ratio = ratio, difference = difference
)
write(toJSON(result, digits = NA, auto_unbox = TRUE, null = "null", na = "null"),
      "dose_response.json")
