# Regenerates network.json: network meta-analyses of dat.senn2013 (mean differences) and
# dat.hasselblad1998 (log odds ratios) through rma.mv. Run from this folder: Rscript run_network.R
suppressMessages({
  library(metafor)
  library(metadat)
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

# Contrasts of every study against its first arm (the reference where it is one), with the
# covariance of that arm.
contrasts_of <- function(arms, reference, effect, arm_variance) {
  arms$treatment <- as.character(arms$treatment)
  arms <- arms[order(arms$study, arms$treatment != reference, arms$treatment), ]
  rows <- lapply(split(arms, arms$study), function(x) {
    base <- x[1, ]
    rest <- x[-1, ]
    V <- matrix(arm_variance(base), nrow(rest), nrow(rest)) + diag(arm_variance(rest), nrow(rest))
    list(data = data.frame(study = as.character(rest$study), treatment = rest$treatment,
                           control = base$treatment, yi = effect(rest) - effect(base),
                           vi = diag(V), n_treatment = rest$ni, n_control = base$ni), V = V,
         design = paste(sort(x$treatment), collapse = " : "))
  })
  data <- do.call(rbind, lapply(rows, `[[`, "data"))
  data$design <- rep(sapply(rows, `[[`, "design"), sapply(rows, function(r) nrow(r$data)))
  list(data = data, V = unname(as.matrix(bldiag(lapply(rows, `[[`, "V")))))
}

fit_network <- function(arms, reference, effect, arm_variance) {
  built <- contrasts_of(arms, reference, effect, arm_variance)
  data <- built$data
  V <- built$V
  treatments <- setdiff(sort(unique(c(data$treatment, data$control))), reference)
  X <- sapply(treatments, function(t) (data$treatment == t) - (data$control == t))
  data$comp <- paste(data$treatment, data$control)
  model <- function(X, random = TRUE, ...) {
    if (random) {
      tightly(yi = data$yi, V = V, mods = X, intercept = FALSE, random = ~ comp | study,
              rho = 1/2, data = data, ...)
    } else {
      rma.mv(data$yi, V, mods = X, intercept = FALSE, ...)
    }
  }
  describe <- function(fit) {
    list(tau2 = fit$tau2, beta = as.vector(fit$beta), vcov = unname(vcov(fit)), QE = fit$QE,
         QEdf = fit$k - fit$p, QEp = fit$QEp, ci.lb = fit$ci.lb, ci.ub = fit$ci.ub)
  }
  scores <- function(fit) {
    b <- c(0, as.vector(fit$beta))
    S <- as.matrix(bldiag(matrix(0), vcov(fit)))
    p <- outer(seq_along(b), seq_along(b), Vectorize(function(i, j) {
      if (i == j) return(NA)
      pnorm((b[j] - b[i]) / sqrt(S[i, i] + S[j, j] - 2 * S[i, j]))
    }))
    rowMeans(p, na.rm = TRUE)
  }
  common <- model(X, random = FALSE)
  reml <- model(X)
  # The moment estimator, from the common-effect projection.
  W <- solve(V)
  P <- W - W %*% X %*% solve(t(X) %*% W %*% X) %*% t(X) %*% W
  same <- outer(data$study, data$study, "==")
  H <- same * (0.5 + 0.5 * diag(nrow(data)))
  dl_tau2 <- max(0, (common$QE - (common$k - common$p)) / sum(diag(P %*% H)))
  dl <- rma.mv(data$yi, V, mods = X, intercept = FALSE, random = ~ comp | study, rho = 1/2,
               tau2 = dl_tau2, data = data)
  # Every design with effects of its own.
  columns <- unique(data.frame(design = data$design, comp = data$comp))
  D <- sapply(seq_len(nrow(columns)), function(j) {
    as.numeric(data$design == columns$design[j] & data$comp == columns$comp[j])
  })
  inconsistent <- model(D, random = FALSE)
  within <- model(D)
  at_within <- function(X) {
    rma.mv(data$yi, V, mods = X, intercept = FALSE, random = ~ comp | study, rho = 1/2,
           tau2 = within$tau2, data = data)
  }
  weighted_rss <- function(fit) {
    r <- residuals(fit)
    as.vector(t(r) %*% solve(fit$M) %*% r)
  }
  # Side-splitting: half of the extra difference on either arm.
  studies <- split(seq_len(nrow(data)), data$study)
  arms_of <- lapply(studies, function(at) unique(c(data$treatment[at], data$control[at])))
  everyone <- c(reference, treatments)
  pairs <- t(combn(everyone, 2))
  splits <- lapply(seq_len(nrow(pairs)), function(row) {
    control <- pairs[row, 1]
    treatment <- pairs[row, 2]
    both <- sapply(arms_of, function(a) all(c(control, treatment) %in% a))[data$study]
    if (!any(both)) return(NULL)
    e <- function(arm) 0.5 * (arm == treatment) - 0.5 * (arm == control)
    extra <- both * (e(data$treatment) - e(data$control))
    if (qr(cbind(X, extra))$rank < ncol(X) + 1) {
      return(list(treatment = treatment, control = control, difference = NA))
    }
    fit <- model(cbind(X, extra))
    against <- c((treatments == treatment) - (treatments == control), 0)
    direct <- against
    direct[length(direct)] <- 1
    linear <- function(a) c(sum(a * fit$beta), sqrt(as.vector(t(a) %*% vcov(fit) %*% a)))
    list(treatment = treatment, control = control, tau2 = fit$tau2,
         difference = as.vector(tail(fit$beta, 1)), difference_se = as.vector(tail(fit$se, 1)),
         p = as.vector(tail(fit$pval, 1)), direct = linear(direct), indirect = linear(against))
  })
  list(
    data = data, V = V, reference = reference, treatments = treatments,
    common = describe(common), REML = c(describe(reml), list(p_scores = scores(reml))),
    REML_t = list(ci.lb = model(X, test = "t")$ci.lb, ci.ub = model(X, test = "t")$ci.ub,
                  df = reml$k - reml$p),
    DL = c(describe(dl), list(p_scores = scores(dl))),
    q_within = list(q = inconsistent$QE, df = inconsistent$k - inconsistent$p),
    q_between = list(q = common$QE - inconsistent$QE, df = inconsistent$p - common$p),
    random_between = list(tau2 = within$tau2,
                          q = weighted_rss(at_within(X)) - weighted_rss(at_within(D))),
    splits = Filter(Negate(is.null), splits)
  )
}

senn <- fit_network(dat.senn2013, "placebo", function(x) x$mi, function(x) x$sdi^2 / x$ni)

# Half an event is added to every arm of a study with an empty cell.
smoking <- dat.hasselblad1998
smoking$treatment <- smoking$trt
empty <- with(smoking, ave(xi == 0 | xi == ni, study, FUN = any)) > 0
smoking$x <- smoking$xi + 0.5 * empty
smoking$n <- smoking$ni + 1 * empty
hasselblad <- fit_network(smoking, "no_contact", function(x) log(x$x / (x$n - x$x)),
                          function(x) 1 / x$x + 1 / (x$n - x$x))

result <- list(
  meta = list(
    source = "run_network.R", R = R.version.string,
    metafor = as.character(packageVersion("metafor")),
    metadat = as.character(packageVersion("metadat")),
    note = paste(
      "rma.mv with random = ~ comp | study, rho = 1/2 by nlminb: tau2 good to about 1e-6.",
      "REML: restricted maximum likelihood; DL: moment estimator written out; common: no",
      "heterogeneity. splits: model-based, tau2 estimated anew, half of the difference on either",
      "arm. random_between: designs against consistency at the tau2 of the design model."
    )
  ),
  senn2013 = senn,
  hasselblad1998 = hasselblad
)
write(toJSON(result, digits = NA, auto_unbox = TRUE, null = "null", na = "null"), "network.json")
