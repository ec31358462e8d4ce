# Regenerates dependence.json: three-level models, correlated working models, cluster-robust
# inference and shared-control covariances. Run from this folder: Rscript run_dependence.R
suppressMessages({
  library(metafor)
  library(metadat)
  library(clubSandwich)
  library(jsonlite)
})

inference <- function(fit) {
  list(
    beta = as.vector(fit$beta), se = as.vector(fit$se), stat = as.vector(fit$zval),
    pval = as.vector(fit$pval), ci.lb = as.vector(fit$ci.lb), ci.ub = as.vector(fit$ci.ub),
    QM = as.vector(fit$QM), QMp = as.vector(fit$QMp), QMdf = as.vector(fit$QMdf)
  )
}

three_level <- function(V, data, formula, random, method, profile = FALSE) {
  run <- function(test, dfs = "residual", tolerances = 10^-(14:9)) {
    # The tightest relative tolerance at which nlminb reports convergence.
    for (tolerance in tolerances) {
      fit <- try(rma.mv(data$yi, V, mods = formula, random = random, data = data, method = method,
                        test = test, dfs = dfs,
                        control = list(rel.tol = tolerance, iter.max = 1e4, eval.max = 1e4)),
                 silent = TRUE)
      if (!inherits(fit, "try-error")) return(fit)
    }
    stop(fit)
  }
  fit <- run("z")
  W <- chol2inv(chol(fit$V))
  X <- model.matrix(fit)
  P <- W - W %*% X %*% solve(t(X) %*% W %*% X) %*% t(X) %*% W
  out <- list(
    method = method, sigma2 = fit$sigma2, QE = fit$QE, QEp = fit$QEp,
    logLik = as.vector(fit$fit.stats[, method]),
    z = inference(fit),
    t = inference(run("t")),
    contain = c(inference(run("t", "contain")),
                list(ddf = as.vector(run("t", "contain")$ddf))),
    I2 = 100 * fit$sigma2 / (sum(fit$sigma2) + (fit$k - fit$p) / sum(diag(P)))
  )
  if (ncol(X) == 1) {
    out$weights <- as.vector(weights(fit, type = "rowsum")) / 100
    prediction <- predict(fit)
    out$pi <- c(prediction$pi.lb, prediction$pi.ub)
    prediction <- predict(run("t", "contain"))
    out$pi.contain <- c(prediction$pi.lb, prediction$pi.ub)
  }
  if (profile) {
    looser <- run("z", tolerances = 1e-10)
    out$profile <- lapply(1:2, function(j) {
      found <- try(confint(looser, sigma2 = j, control = list(tol = 1e-10, maxiter = 1e5)),
                   silent = TRUE)
      if (inherits(found, "try-error")) return(c(NA, NA))
      as.vector(unlist(found$random[1, c("ci.lb", "ci.ub")]))
    })
  }
  out$robust <- robust_all(fit, data$cluster)
  out
}

robust_all <- function(fit, cluster) {
  v2 <- vcovCR(fit, cluster = cluster, type = "CR2")
  test <- coef_test(fit, vcov = v2, test = "Satterthwaite")
  interval <- conf_int(fit, vcov = v2, test = "Satterthwaite")
  out <- list(
    m = length(unique(cluster)), beta = test$beta, SE = test$SE, df = test[["df_Satt"]],
    p = test[["p_Satt"]], ci.lb = interval$CI_L, ci.ub = interval$CI_U
  )
  if (is.null(out$df)) out$df <- test[["df"]]
  for (type in c("CR0", "CR1", "CR1S", "CR1p", "CR3")) {
    v <- try(vcovCR(fit, cluster = cluster, type = type), silent = TRUE)
    out[[paste0("SE.", type)]] <-
      if (inherits(v, "try-error")) NULL else as.vector(sqrt(diag(as.matrix(v))))
  }
  p <- nrow(fit$beta)
  if (p > 1) {
    wald <- Wald_test(fit, constraints = constrain_zero(2:p), vcov = v2, test = "HTZ")
    out$HTZ <- list(F = wald$Fstat, df_num = wald$df_num, df_denom = wald$df_denom, p = wald$p_val)
  }
  out
}

columns <- function(data, ...) {
  as.list(data.frame(yi = as.vector(data$yi), vi = as.vector(data$vi),
                     cluster = as.character(data$cluster), ...))
}

datasets <- list()

# Konstantopoulos (2011): schools within districts
k <- dat.konstantopoulos2011
k$cluster <- k$district
k$year <- k$year - mean(k$year)
nested <- ~ 1 | district/school
datasets$konstantopoulos2011 <- list(
  inputs = columns(k, effect = paste(k$district, k$school), year = k$year),
  fits = list(
    intercept_REML = three_level(k$vi, k, ~ 1, nested, "REML", profile = TRUE),
    intercept_ML = three_level(k$vi, k, ~ 1, nested, "ML"),
    year_REML = three_level(k$vi, k, ~ year, nested, "REML")
  ),
  two_level = list()
)

two_level <- function(data, formula) {
  fit <- rma(yi, vi, mods = formula, data = data, method = "REML",
             control = list(threshold = 1e-14, maxiter = 10000))
  c(list(tau2 = fit$tau2), robust_all(fit, data$cluster))
}
datasets$konstantopoulos2011$two_level <-
  list(intercept = two_level(k, ~ 1), year = two_level(k, ~ year))

# Assink and Wibbelink (2016): effects within studies, and the correlated working model
a <- dat.assink2016
a$cluster <- a$study
a$general <- as.numeric(a$deltype == "general")
a$overt <- as.numeric(a$deltype == "overt")
nested <- ~ 1 | study/esid
V6 <- vcalc(vi, cluster = study, obs = esid, data = a, rho = 0.6)
Vm <- vcalc(vi, cluster = study, obs = esid, data = a, rho = 0.2)
datasets$assink2016 <- list(
  inputs = columns(a, effect = as.character(a$esid), general = a$general, overt = a$overt),
  fits = list(
    intercept_REML = three_level(a$vi, a, ~ 1, nested, "REML", profile = TRUE),
    intercept_ML = three_level(a$vi, a, ~ 1, nested, "ML"),
    deltype_REML = three_level(a$vi, a, ~ general + overt, nested, "REML"),
    che_0.6_REML = three_level(V6, a, ~ 1, nested, "REML", profile = TRUE),
    che_0.6_ML = three_level(V6, a, ~ 1, nested, "ML"),
    che_0.6_deltype_REML = three_level(V6, a, ~ general + overt, nested, "REML"),
    che_0.2_REML = three_level(Vm, a, ~ 1, nested, "REML")
  ),
  two_level = list(
    intercept = two_level(a, ~ 1), deltype = two_level(a, ~ general + overt)
  )
)

# Curtis (1998): several effects per paper, very unequal variances within a paper
cu <- escalc(measure = "ROM", m1i = m2i, sd1i = sd2i, n1i = n2i,
             m2i = m1i, sd2i = sd1i, n2i = n1i, data = dat.curtis1998)
cu$cluster <- cu$paper
datasets$curtis1998 <- list(
  inputs = columns(cu, effect = as.character(cu$id), time = as.numeric(cu$time)),
  fits = list(
    intercept_REML = three_level(cu$vi, cu, ~ 1, ~ 1 | paper/id, "REML", profile = TRUE),
    time_REML = three_level(cu$vi, cu, ~ time, ~ 1 | paper/id, "REML")
  ),
  two_level = list(intercept = two_level(cu, ~ 1), time = two_level(cu, ~ time))
)

# Gleser and Olkin (2009), tables 19.2 and 19.4: multi-arm trials with a shared control
go <- data.frame(study = c(1, 1, 2, 3, 3, 3), trt = c(1, 2, 1, 1, 2, 3),
                 events_control = c(40, 40, 10, 150, 150, 150),
                 n_control = c(1000, 1000, 200, 2000, 2000, 2000),
                 events_treatment = c(100, 150, 15, 40, 80, 50),
                 n_treatment = c(4000, 4000, 400, 1000, 1000, 1000))
shared <- list(
  RD = function(p, n) p * (1 - p) / n, OR = function(p, n) 1 / (n * p * (1 - p)),
  RR = function(p, n) (1 - p) / (n * p)
)
binary <- lapply(names(shared), function(measure) {
  # As in the chapter: control minus treatment, each treatment against the shared control.
  es <- escalc(measure = measure, ai = events_control, n1i = n_control, ci = events_treatment,
               n2i = n_treatment, data = go)
  V <- bldiag(lapply(split(es, es$study), function(x) {
    v <- matrix(shared[[measure]](x$events_control[1] / x$n_control[1], x$n_control[1]),
                nrow(x), nrow(x))
    diag(v) <- x$vi
    v
  }))
  fit <- rma.mv(yi, V, mods = ~ 0 + factor(trt), data = es)
  list(yi = as.vector(es$yi), V = V, beta = as.vector(fit$beta), vcov = vcov(fit), QE = fit$QE)
})
names(binary) <- names(shared)
gs <- data.frame(study = c(1, 1, 2, 3, 4, 4), trt = c(1, 2, 1, 1, 1, 2),
                 mean_treatment = c(7.87, 4.35, 9.32, 8.08, 7.44, 5.34),
                 mean_control = c(-1.36, -1.36, 0.98, 1.17, 0.45, 0.45),
                 sd_pooled = c(4.2593, 4.2593, 2.8831, 3.1764, 2.9344, 2.9344),
                 n_treatment = c(25, 22, 38, 50, 30, 30), n_control = c(25, 25, 40, 50, 30, 30))
gs$N <- unlist(lapply(split(gs, gs$study), function(x) rep(sum(x$n_treatment) + x$n_control[1], nrow(x))))
gs$yi <- with(gs, (mean_treatment - mean_control) / sd_pooled)
gs$vi <- with(gs, 1 / n_treatment + 1 / n_control + yi^2 / (2 * N))
V <- bldiag(lapply(split(gs, gs$study), function(x) {
  v <- 1 / x$n_control[1] + outer(x$yi, x$yi) / (2 * x$N[1])
  diag(v) <- x$vi
  matrix(v, nrow(x), nrow(x))
}))
fit <- rma.mv(yi, V, mods = ~ 0 + factor(trt), data = gs)
smd <- list(data = gs, yi = gs$yi, V = V, beta = as.vector(fit$beta), vcov = vcov(fit), QE = fit$QE)

# vcalc: mean differences with one standard deviation, arms shared as control and as treatment
arms <- data.frame(study = c("a", "a", "a", "b", "b", "c"), treatment = c("x", "y", "z", "x", "p", "x"),
                   control = c("p", "p", "p", "p", "y", "p"), n_treatment = c(20, 25, 31, 12, 17, 40),
                   n_control = c(18, 18, 18, 17, 9, 38))
arms$vi <- with(arms, 4 / n_treatment + 4 / n_control)
vcalc_md <- list(data = arms,
                 V = unname(vcalc(vi, cluster = study, grp1 = treatment, grp2 = control,
                                  w1 = n_treatment, w2 = n_control, data = arms)))

# Four invented effects on which rma.mv stops on the lower of two hills
local <- data.frame(yi = c(-2.846, -0.115, 0.965, 0.83), vi = c(1.8729, 2.0601, 0.0022, 0.001),
                    cluster = c("a", "b", "b", "a"), effect = 1:4)
fit <- rma.mv(yi, vi, random = ~ 1 | cluster/effect, data = local)
higher <- rma.mv(yi, vi, random = ~ 1 | cluster/effect, data = local,
                 sigma2 = c(0.00762356, 0))
local_optimum <- list(inputs = as.list(local), sigma2 = fit$sigma2, beta = as.vector(fit$beta),
                      ll = as.vector(logLik(fit)), ll_higher = as.vector(logLik(higher)))

result <- list(
  meta = list(
    source = "run_dependence.R",
    R = R.version.string, metafor = as.character(packageVersion("metafor")),
    metadat = as.character(packageVersion("metadat")),
    clubSandwich = as.character(packageVersion("clubSandwich")),
    note = paste(
      "rma.mv by nlminb with the tightest rel.tol that converges; variances good to about 1e-6, everything that",
      "follows from them to about 1e-7. robust = clubSandwich vcovCR with Satterthwaite df",
      "and HTZ. A null profile limit is one that metafor's root finder did not reach."
    )
  ),
  datasets = datasets,
  local_optimum = local_optimum,
  vcalc_md = vcalc_md,
  gleser_olkin_2009 = list(binary = c(list(data = go), binary), smd = smd)
)
write(toJSON(result, digits = NA, auto_unbox = TRUE, null = "null", na = "null"),
      "dependence.json")
