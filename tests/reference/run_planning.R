# Sample sizes, power, Holm adjustment and what one more trial does to a pooled interval, for
# tests/test_power.py and test_next_trial.py.
# Run in this folder: Rscript run_planning.R
# Writes planning.json.

suppressMessages({library(metafor); library(jsonlite)})

TOL <- 1e-13
means <- expand.grid(difference = c(0.2, 0.35, 0.5, 0.8, 1.2, 2.5), power = c(0.8, 0.9),
                     alpha = c(0.05, 0.01))
means$n <- mapply(function(d, p, a)
  power.t.test(delta = d, sd = 1, sig.level = a, power = p, strict = TRUE, tol = TOL)$n,
  means$difference, means$power, means$alpha)
powers <- expand.grid(difference = c(0.1, 0.5, 1, 2), n = c(2, 5, 20, 100, 1000))
powers$power <- mapply(function(d, n)
  power.t.test(n = n, delta = d, sd = 1, strict = TRUE)$power, powers$difference, powers$n)
risks <- data.frame(control = c(0.1, 0.1, 0.3, 0.6, 0.02), treatment = c(0.075, 0.125, 0.225, 0.75,
                    0.015))
risks <- merge(risks, data.frame(power = c(0.8, 0.9)))
risks$n <- mapply(function(p1, p2, p)
  power.prop.test(p1 = p1, p2 = p2, power = p, tol = TOL)$n, risks$control, risks$treatment,
  risks$power)
p <- c(0.012, 0.03, 0.0004, 0.6, 0.03, 0.2)

# A new trial of n per arm added to the trials there are: the results of the new trial at which the
# upper limit of the new pooled interval (REML, conservative Knapp-Hartung) crosses no effect.
sets <- list(two = list(yi = c(-0.29, -1.0911), vi = c(0.1564, 0.1276)),
             four = list(yi = c(-0.5, -0.6, -0.35, -0.2), vi = c(0.05, 0.08, 0.04, 0.06)))
limit <- function(set, y, n) {
  fit <- rma(c(set$yi, y), c(set$vi, 2 / n + y^2 / (4 * n)), method = "REML", test = "adhoc",
             control = list(threshold = 1e-13, maxiter = 10000, tau2.init = 0.1))
  fit$ci.ub
}
crossing <- function(set, n, low, high)
  uniroot(function(y) limit(set, y, n), c(low, high), tol = 1e-11)$root
updates <- list(
  list(set = "two", n = 100, ends = c(crossing(sets$two, 100, -1.6, -0.8),
                                      crossing(sets$two, 100, -0.8, -0.2))),
  list(set = "two", n = 1000, ends = c(crossing(sets$two, 1000, -1.6, -0.8),
                                       crossing(sets$two, 1000, -0.8, -0.2))),
  list(set = "four", n = 50, ends = c(crossing(sets$four, 50, -3, -0.8),
                                      crossing(sets$four, 50, -0.8, 0.3))))

full <- function(x) toJSON(x, digits = NA, auto_unbox = TRUE, dataframe = "rows")
writeLines(full(list(
  source = list(software = "R with metafor", r_version = paste(R.version$major, R.version$minor,
                sep = "."), metafor_version = as.character(packageVersion("metafor")),
                script = "run_planning.R",
                calls = c("power.t.test(delta, sd = 1, sig.level, power, strict = TRUE)",
                          "power.prop.test(p1, p2, power)", "p.adjust(p, 'holm')",
                          "uniroot of rma(method = 'REML', test = 'adhoc')$ci.ub")),
  means = means, powers = powers, risks = risks,
  holm = list(p = p, adjusted = p.adjust(p, "holm")), sets = sets, updates = updates)),
  "planning.json")
