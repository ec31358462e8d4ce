# Regenerates multilevel_predict.json: predictions of three-level models at new values, with model
# and cluster-robust standard errors, from the inputs of dependence.json. Run from this folder:
# Rscript run_multilevel_predict.R
suppressMessages({
  library(metafor)
  library(clubSandwich)
  library(jsonlite)
})

stored <- fromJSON("dependence.json")$datasets
tight <- list(rel.tol = 1e-12, iter.max = 1e4, eval.max = 1e4)

predicted <- function(data, names, new, rho = NULL) {
  frame <- as.data.frame(stored[[data]]$inputs)
  V <- if (is.null(rho)) diag(frame$vi) else vcalc(vi, cluster = cluster, obs = effect, data = frame, rho = rho)
  run <- function(test, dfs = "residual") {
    rma.mv(yi, V, mods = reformulate(names), random = ~ 1 | cluster/effect, data = frame,
           method = "REML", test = test, dfs = dfs, control = tight)
  }
  rows <- function(fit) {
    p <- predict(fit, newmods = new)
    list(estimate = p$pred, se = p$se, ci_low = p$ci.lb, ci_high = p$ci.ub, pi_low = p$pi.lb,
         pi_high = p$pi.ub, df = p$ddf)
  }
  fit <- run("z")
  X <- cbind(1, new)
  robust <- linear_contrast(fit, vcov = vcovCR(fit, cluster = frame$cluster, type = "CR2"),
                            contrasts = X, test = "Satterthwaite")
  list(data = data, names = as.list(names), rho = rho, new = new,
       z = rows(fit), t = rows(run("t")), `t-contain` = rows(run("t", "contain")),
       robust = list(estimate = robust$Est, se = robust$SE, df = robust$df, ci_low = robust$CI_L,
                     ci_high = robust$CI_U))
}

write_json(list(
  meta = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
              clubSandwich = as.character(packageVersion("clubSandwich"))),
  fits = list(
    predicted("konstantopoulos2011", "year", cbind(c(-10, 0, 12.5))),
    predicted("assink2016", c("general", "overt"), rbind(c(0, 0), c(1, 0), c(0, 1))),
    predicted("assink2016", c("general", "overt"), rbind(c(0, 0), c(1, 0), c(0, 1)), rho = 0.6),
    predicted("curtis1998", "time", cbind(c(20, 60, 400)))
  )
), "multilevel_predict.json", digits = NA, auto_unbox = TRUE, null = "null", pretty = FALSE)
