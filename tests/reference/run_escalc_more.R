# Values of escalc() for the measures of one group, rates, correlations, Peto and changes, and of
# the back-transformed double arcsine, for tests/test_measures.py.
# Run in this folder: Rscript run_escalc_more.R
# Writes escalc_more.json.

suppressMessages(library(metafor))

number <- function(x) ifelse(is.finite(x), sprintf("%.17g", x), "null")
column <- function(x) paste0("[", paste(number(x), collapse = ", "), "]")
text <- function(x) paste0('"', gsub('"', '\\\\"', x), '"')
object <- function(items) {
  paste0("{", paste0(text(names(items)), ": ", unlist(items), collapse = ",\n"), "}")
}
table <- function(data) object(lapply(as.list(data), column))
effects <- function(x) object(list(yi = column(x$yi), vi = column(x$vi)))
quiet <- suppressWarnings

# Two arms with events: every pattern of zero cells, arms of 2 to 700.
events <- expand.grid(n1 = c(2, 5, 40, 700), share1 = c(0, 0.04, 0.5, 1),
                      n2 = c(2, 4, 61, 700), share2 = c(0, 0.04, 0.5, 1))
events$ai <- ceiling(events$n1 * events$share1)
events$ci <- ceiling(events$n2 * events$share2)
events <- unique(events[c("ai", "n1", "ci", "n2")])

# Two arms over time: no events in one or both, times from days to thousands of years.
rates <- expand.grid(x1i = c(0, 1, 3, 250), t1i = c(0.02, 7.5, 12345.6),
                     x2i = c(0, 1, 17), t2i = c(0.3, 91, 5000))

# One group: nobody, one, half, all but one, all of 1 to 3,000 people.
ones <- do.call(rbind, lapply(c(1, 2, 3, 10, 57, 3000), function(n) {
  data.frame(xi = unique(pmax(0, c(0, 1, floor(n / 2), n - 1, n))), ni = n)
}))
times <- expand.grid(xi = c(0, 1, 2, 40, 1000), ti = c(0.01, 1, 365.25, 80000))
means <- expand.grid(mi = c(-40, 0, 0.001, 77), sdi = c(0.2, 12.5), ni = c(2, 3, 50, 2000))
pairs <- expand.grid(ri = c(-0.999999, -0.99, -0.3, 0, 0.5, 0.95, 0.999999),
                     ni = c(4, 5, 20, 1000))

# One group twice.
paired <- expand.grid(n = c(3, 4, 5, 24, 900), r = c(-0.99, -0.4, 0, 0.3, 0.85, 0.999),
                      sd_before = c(1.2, 7.5), sd_after = c(0.8, 9), change = c(-11, 0, 2.5))
paired$before <- 33.3
paired$after <- 33.3 + paired$change
paired <- paired[c("before", "after", "sd_before", "sd_after", "n", "r")]

blocks <- list(
  source = object(list(
    software = text("R with metafor"),
    r_version = text(as.character(getRversion())),
    metafor_version = text(as.character(packageVersion("metafor"))),
    script = text("run_escalc_more.R"),
    calls = paste0("[", paste(text(c(
      "escalc(measure='PETO', ai=, n1i=, ci=, n2i=, to='only0'|'all'|'none'; drop00=TRUE)",
      "escalc(measure='IRR', x1i=, t1i=, x2i=, t2i=, to='only0'|'all'|'none'; drop00=TRUE)",
      "escalc(measure='PR'|'PLO', xi=, ni=, to='only0'|'all'|'none')",
      "escalc(measure='PAS'|'PFT', xi=, ni=)",
      "escalc(measure='IRLN', xi=, ti=, to='only0'|'all'|'none')",
      "escalc(measure='MN', mi=, sdi=, ni=)", "escalc(measure='COR'|'ZCOR', ri=, ni=)",
      "escalc(measure='SMCC', m1i=after, m2i=before, sd1i=sd_after, sd2i=sd_before, ni=, ri=)",
      "transf.ipft.hm(x, targs=list(ni=)), transf.ilogit, transf.ztor, transf.iarcsin"
    )), collapse = ", "), "]")
  )),
  events = table(events), rates = table(rates), ones = table(ones), times = table(times),
  means = table(means), pairs = table(pairs), paired = table(paired)
)
for (to in c("only0", "all", "none")) {
  blocks[[paste0("PETO_", to)]] <- effects(quiet(
    escalc("PETO", ai = ai, n1i = n1, ci = ci, n2i = n2, data = events, to = to)))
  blocks[[paste0("IRR_", to)]] <- effects(quiet(
    escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = rates, to = to)))
  for (measure in c("PR", "PLO")) {
    blocks[[paste(measure, to, sep = "_")]] <- effects(quiet(
      escalc(measure, xi = xi, ni = ni, data = ones, to = to)))
  }
  blocks[[paste0("IRLN_", to)]] <- effects(quiet(
    escalc("IRLN", xi = xi, ti = ti, data = times, to = to)))
}
blocks$PETO_drop00 <- effects(quiet(
  escalc("PETO", ai = ai, n1i = n1, ci = ci, n2i = n2, data = events, drop00 = TRUE)))
blocks$IRR_drop00 <- effects(quiet(
  escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = rates, drop00 = TRUE)))
for (measure in c("PAS", "PFT")) {
  blocks[[measure]] <- effects(escalc(measure, xi = xi, ni = ni, data = ones))
}
blocks$MN <- effects(escalc("MN", mi = mi, sdi = sdi, ni = ni, data = means))
for (measure in c("COR", "ZCOR")) {
  blocks[[measure]] <- effects(escalc(measure, ri = ri, ni = ni, data = pairs))
}
blocks$SMCC <- effects(escalc("SMCC", m1i = after, m2i = before, sd1i = sd_after,
                              sd2i = sd_before, ni = n, ri = r, data = paired))

# Turning back: values inside and beyond the range of each transformation.
x <- seq(-0.2, 1.8, by = 0.05)
people <- c(4, 17, 60, 1200)
blocks$back <- object(list(
  x = column(x), people = column(people),
  ipft = column(sapply(x, transf.ipft.hm, targs = list(ni = people))),
  ilogit = column(sapply(x, transf.ilogit)),
  ztor = column(sapply(x, transf.ztor)),
  iarcsin = column(sapply(x, transf.iarcsin))
))
writeLines(object(blocks), "escalc_more.json")
