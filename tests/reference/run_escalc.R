# Values of escalc() on grids, for tests/test_effect_sizes.py.
# Run in this folder: Rscript run_escalc.R
# Writes escalc_means.json, escalc_events.json, escalc_paired.json.

suppressMessages(library(metafor))

number <- function(x) ifelse(is.na(x), "null", sprintf("%.17g", x))
column <- function(x) paste0("[", paste(number(x), collapse = ", "), "]")
text <- function(x) paste0('"', gsub('"', '\\\\"', x), '"')
object <- function(items) {
  paste0("{", paste0(text(names(items)), ": ", unlist(items), collapse = ",\n"), "}")
}
table <- function(data) object(lapply(as.list(data), column))
effects <- function(x) object(list(yi = column(x$yi), vi = column(x$vi)))

source_block <- function(calls) {
  object(list(
    software = text("R with metafor"),
    r_version = text(as.character(getRversion())),
    metafor_version = text(as.character(packageVersion("metafor"))),
    script = text("run_escalc.R"),
    calls = paste0("[", paste(text(calls), collapse = ", "), "]")
  ))
}

# Two arms with means: small arms, unequal arms, differences of either sign and of no size.
means <- expand.grid(n1 = c(2, 3, 5, 20, 400), n2 = c(2, 4, 33, 1000),
                     difference = c(-7.5, -0.3, 0, 12), sd1 = c(0.9, 6.25), sd2 = c(1.7, 6.25))
means$m1 <- 30.2 + means$difference
means$m2 <- 30.2
means$t <- means$difference / 3.1
means <- means[c("m1", "sd1", "n1", "m2", "sd2", "n2", "t")]
with_means <- function(measure) {
  escalc(measure = measure, m1i = m1, sd1i = sd1, n1i = n1, m2i = m2, sd2i = sd2, n2i = n2,
         data = means)
}
writeLines(object(list(
  source = source_block(c(
    "escalc(measure='SMD'|'MD'|'ROM', m1i=, sd1i=, n1i=, m2i=, sd2i=, n2i=)",
    "escalc(measure='SMD', ti=, n1i=, n2i=)", "escalc(measure='SMD', di=t, n1i=, n2i=)")),
  inputs = table(means),
  SMD = effects(with_means("SMD")),
  MD = effects(with_means("MD")),
  ROM = effects(with_means("ROM")),
  SMD_from_t = effects(escalc(measure = "SMD", ti = t, n1i = n1, n2i = n2, data = means)),
  SMD_from_d = effects(escalc(measure = "SMD", di = t, n1i = n1, n2i = n2, data = means))
)), "escalc_means.json")

# Two arms with events: every pattern of zero cells, arms of 2 to 700.
events <- expand.grid(n1 = c(2, 5, 40, 700), share1 = c(0, 0.04, 0.5, 1),
                      n2 = c(2, 4, 61, 700), share2 = c(0, 0.04, 0.5, 1))
events$ai <- ceiling(events$n1 * events$share1)
events$ci <- ceiling(events$n2 * events$share2)
events <- unique(events[c("ai", "n1", "ci", "n2")])
with_events <- function(measure, to, drop00 = FALSE) {
  suppressWarnings(escalc(measure = measure, ai = ai, n1i = n1, ci = ci, n2i = n2,
                          data = events, to = to, drop00 = drop00))
}
event_blocks <- list(
  source = source_block(c(
    "escalc(measure='OR'|'RR'|'RD', ai=, n1i=, ci=, n2i=, add=1/2, to='only0'|'all'|'none')",
    "the same with to='only0', drop00=TRUE (suffix drop00)")),
  inputs = table(events)
)
for (measure in c("OR", "RR", "RD")) {
  for (to in c("only0", "all", "none")) {
    values <- with_events(measure, to)
    values$yi[!is.finite(values$yi)] <- NA
    values$vi[!is.finite(values$vi)] <- NA
    event_blocks[[paste(measure, to, sep = "_")]] <- effects(values)
  }
  event_blocks[[paste(measure, "drop00", sep = "_")]] <- effects(with_events(measure, "only0", TRUE))
}
writeLines(object(event_blocks), "escalc_events.json")

# One group twice.
paired <- expand.grid(n = c(3, 4, 5, 24, 900), r = c(-0.4, 0, 0.3, 0.85), sd_before = c(1.2, 7.5),
                      sd_after = c(0.8, 9), change = c(-11, 0, 2.5))
paired$before <- 33.3
paired$after <- 33.3 + paired$change
paired <- paired[c("before", "after", "sd_before", "sd_after", "n", "r")]
with_paired <- function(measure) {
  escalc(measure = measure, m1i = after, m2i = before, sd1i = sd_before, sd2i = sd_after,
         ni = n, ri = r, data = paired)
}
writeLines(object(list(
  source = source_block(c(
    "escalc(measure='SMCR'|'MC', m1i=after, m2i=before, sd1i=sd_before, sd2i=sd_after, ni=, ri=)")),
  inputs = table(paired),
  SMCR = effects(with_paired("SMCR")),
  MC = effects(with_paired("MC"))
)), "escalc_paired.json")
