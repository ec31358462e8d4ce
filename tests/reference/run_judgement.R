# Contrasts, nested models, BLUPs, one-group models of counts, selection models with assumed weights,
# excess significance, Egger's test on the standard error without the effect, and the cluster wild
# bootstrap, for tests/test_judgement.py.
# Run in this folder: Rscript run_judgement.R  (metafor, metadat, clubSandwich, lme4, numDeriv)
# Writes judgement.json.

suppressMessages({library(metafor); library(clubSandwich); library(jsonlite)})

numbers <- function(...) lapply(list(...), function(x) unname(as.numeric(x)))
out <- list(meta = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
                        clubSandwich = as.character(packageVersion("clubSandwich"))))
ctl <- list(threshold = 1e-13, maxiter = 20000, tol = 1e-14)

# --- contrasts, marginal means, nested models, BLUPs ----------------------------------------------
dat <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
fits <- list()
for (test in c("z", "knha", "adhoc")) {
  fit <- rma(yi, vi, mods = ~ ablat + alloc, data = dat, test = test, control = ctl)
  X <- rbind(c(0, 0, 1, -1), c(1, 30, 0, 1), c(0, 10, 0, 0))
  a <- anova(fit, X = X)
  one <- anova(fit, X = c(0, 0, 1, -1))
  mm <- rbind(c(1, mean(dat$ablat), 0, 0), c(1, mean(dat$ablat), 1, 0), c(1, mean(dat$ablat), 0, 1))
  b <- anova(fit, X = mm)
  p <- predict(fit, newmods = rbind(c(20, 1, 0), c(50, 0, 1)))
  r <- rma(yi, vi, data = dat, test = test, control = ctl)
  bl <- blup(r); br <- blup(fit)
  fits[[test]] <- list(
    contrasts = numbers(est = a$Xb, se = a$se, stat = a$zval, pval = a$pval),
    joint = numbers(QM = a$QM, p = a$QMp), one = numbers(QM = one$QM, p = one$QMp),
    means = numbers(est = b$Xb, se = b$se),
    predict = numbers(est = p$pred, se = p$se, lb = p$ci.lb, ub = p$ci.ub),
    blup = numbers(est = bl$pred, se = bl$se, lb = bl$pi.lb, ub = bl$pi.ub),
    blup_mods = numbers(est = br$pred, se = br$se, lb = br$pi.lb, ub = br$pi.ub))
}
ml <- function(...) rma(yi, vi, data = dat, method = "ML", control = ctl, ...)
full <- ml(mods = ~ ablat + alloc)
nested <- list()
for (name in c("mean", "ablat")) {
  small <- if (name == "mean") ml() else ml(mods = ~ ablat)
  a <- anova(full, small)
  nested[[name]] <- numbers(LRT = a$LRT, p = a$pval, df = a$parms.f - a$parms.r,
                            AIC.f = a$fit.stats.f["AIC"], AICc.r = a$fit.stats.r["AICc"],
                            BIC.f = a$fit.stats.f["BIC"], R2 = a$R2 / 100)
}
kons <- dat.konstantopoulos2011
three <- rma.mv(yi, vi, random = ~ 1 | district/school, data = kons, method = "ML",
                control = list(rel.tol = 1e-10))
three_year <- rma.mv(yi, vi, mods = ~ year, random = ~ 1 | district/school, data = kons,
                     method = "ML", control = list(rel.tol = 1e-10))
a <- anova(three_year, three)
nested$three_level <- numbers(LRT = a$LRT, p = a$pval)
out$regression <- list(
  data = list(yi = as.numeric(dat$yi), vi = as.numeric(dat$vi), ablat = dat$ablat, alloc = dat$alloc),
  three_level = list(yi = as.numeric(kons$yi), vi = as.numeric(kons$vi), district = kons$district,
                     year = kons$year),
  fits = fits, nested = nested)

# --- one group ------------------------------------------------------------------------------------
glmm <- function(...) {
  fit <- suppressWarnings(rma.glmm(..., nAGQ = 60, control = list(tol = 1e-12)))
  numbers(est = fit$beta, se = fit$se, tau2 = fit$tau2, LRT = fit$QE.LRT, p = fit$QEp.LRT)
}
n7 <- dat.nielweise2007; n8 <- dat.nielweise2008; db <- dat.debruin2009; pz <- dat.pritz1997
one <- list(
  nielweise2007_treated = list(measure = "PLO", events = n7$ai, total = n7$n1i),
  nielweise2007_control = list(measure = "PLO", events = n7$ci, total = n7$n2i),
  pritz1997 = list(measure = "PLO", events = pz$xi, total = pz$ni),
  nielweise2008_treated = list(measure = "IRLN", events = n8$x1i, total = n8$t1i),
  nielweise2008_control = list(measure = "IRLN", events = n8$x2i, total = n8$t2i))
out$one_group <- lapply(one, function(d) {
  fit <- if (d$measure == "PLO") glmm(measure = "PLO", xi = d$events, ni = d$total)
         else glmm(measure = "IRLN", xi = d$events, ti = d$total)
  c(d, list(fit = fit))
})

# --- selection with assumed weights, excess significance ------------------------------------------
steps <- c(0.005, 0.01, 0.05, 0.10, 0.25, 0.35, 0.50, 0.65, 0.75, 0.90, 0.95, 0.99, 0.995, 1)
scenarios <- list(
  "moderate one-tailed" = c(1, 0.99, 0.95, 0.80, 0.75, 0.65, 0.60, 0.55, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50),
  "severe one-tailed" = c(1, 0.99, 0.90, 0.75, 0.60, 0.50, 0.40, 0.35, 0.30, 0.25, 0.10, 0.10, 0.10, 0.10),
  "moderate two-tailed" = c(1, 0.99, 0.95, 0.90, 0.80, 0.75, 0.60, 0.60, 0.75, 0.80, 0.90, 0.95, 0.99, 1.00),
  "severe two-tailed" = c(1, 0.99, 0.90, 0.75, 0.60, 0.50, 0.25, 0.25, 0.50, 0.60, 0.75, 0.90, 0.99, 1.00))
cohen <- escalc(measure = "ZCOR", ri = ri, ni = ni, data = dat.cohen1981)
hack <- dat.hackshaw1998
sets <- list(cohen1981 = cohen, hackshaw1998 = hack, hackshaw1998_first6 = hack[1:6, ])
out$selection <- lapply(sets, function(d) {
  ml <- rma(yi, vi, data = d, method = "ML", control = ctl)
  fitted <- lapply(scenarios, function(delta) {
    s <- selmodel(ml, type = "stepfun", alternative = "greater", steps = steps, delta = delta,
                  control = list(reltol = 1e-15))
    numbers(est = s$beta, se = s$se, tau2 = s$tau2, logLik = logLik(s))
  })
  list(yi = as.numeric(d$yi), vi = as.numeric(d$vi), scenarios = fitted)
})
out$excess <- lapply(lapply(sets, function(d) d[seq_len(min(12, nrow(d))), ]), function(d) {
  found <- list()
  for (method in c("FE", "DL", "REML")) for (alternative in c("two.sided", "greater")) {
    fit <- rma(yi, vi, data = d, method = method, control = ctl)
    s <- tes(fit, test = "exact", alternative = alternative, progbar = FALSE, find.lim = FALSE,
             rel.tol = 1e-12)
    found[[paste(method, alternative)]] <- numbers(O = s$O, E = s$E, p = s$pval)
  }
  found
})

# --- Egger's test on the standard error without the effect ----------------------------------------
smd <- list(
  normand1999 = escalc(measure = "SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i,
                       n2i = n2i, data = dat.normand1999),
  gibson2002 = escalc(measure = "SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i,
                      n2i = n2i, data = dat.gibson2002))
out$egger <- lapply(smd, function(d) {
  d <- d[!is.na(d$yi), ]
  effective <- d$n1i * d$n2i / (d$n1i + d$n2i)
  fit <- rma(yi, vi, data = d, control = ctl)
  found <- lapply(c(rma = "rma", lm = "lm"), function(model) {
    e <- regtest(fit, model = model, predictor = "sqrtninv", ni = effective)
    numbers(stat = e$zval, p = e$pval, est = e$est, lb = e$ci.lb, ub = e$ci.ub)
  })
  x <- 1 / effective
  line <- summary(lm(yi ~ x, weights = 1 / vi, data = d))$coefficients
  list(yi = as.numeric(d$yi), vi = as.numeric(d$vi), n1 = d$n1i, n2 = d$n2i, egger = found,
       peese = numbers(est = line[1, 1], se = line[1, 2], p = line[1, 4]))
})

# --- cluster wild bootstrap, every pattern of signs written out -----------------------------------
by_hand <- function(yi, w, X, tested, cluster) {
  fit_of <- function(y, X) lm(y ~ 0 + X, weights = w)
  wald <- function(y) {
    fit <- fit_of(y, X)
    V <- vcovCR(fit, cluster = cluster, type = "CR0", target = 1 / w, inverse_var = TRUE)
    b <- coef(fit)[tested]
    drop(b %*% solve(V[tested, tested], b)) / length(tested)
  }
  null <- if (length(tested) == ncol(X)) rep(0, length(yi))
          else fitted(fit_of(yi, X[, -tested, drop = FALSE]))
  ids <- unique(cluster)
  signs <- as.matrix(expand.grid(rep(list(c(1, -1)), length(ids))))
  stats <- apply(signs, 1, function(s) wald(null + s[match(cluster, ids)] * (yi - null)))
  observed <- wald(yi)
  numbers(stat = observed, p = mean(stats >= observed * (1 - 1e-9)), statistics = sort(stats)[1:8])
}
set.seed(20)
cluster <- rep(1:7, times = c(3, 2, 4, 1, 2, 3, 2))
k <- length(cluster)
vi <- round(runif(k, 0.02, 0.2), 3)
yi <- round(0.3 + rnorm(7, 0, 0.3)[cluster] + rnorm(k, 0, sqrt(vi)), 3)
x <- round(runif(k), 3); z <- as.numeric(cluster %in% c(1, 2, 5))
X <- cbind(1, x, z)
tau2 <- 0.05
out$wild <- list(
  data = list(yi = yi, vi = vi, cluster = cluster, x = x, z = z, tau2 = tau2),
  intercept = by_hand(yi, 1 / (vi + tau2), cbind(rep(1, k)), 1, cluster),
  x = by_hand(yi, 1 / (vi + tau2), X, 2, cluster), z = by_hand(yi, 1 / (vi + tau2), X, 3, cluster),
  both = by_hand(yi, 1 / (vi + tau2), X, 2:3, cluster))

write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = FALSE), "judgement.json")
