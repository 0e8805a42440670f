# RPostgreSQL: what a session looks like. Rscript compare.R clear|masked, the login in libpq's variables.

suppressMessages(library(RPostgreSQL))
get <- Sys.getenv
db <- dbConnect(PostgreSQL(), host = get("PGHOST"), port = as.integer(get("PGPORT")), user = get("PGUSER"), password = get("PGPASSWORD"), dbname = get("PGDATABASE"))
say <- function(what) { tryCatch(print(what), error = function(e) cat("error", conditionMessage(e), "\n")) }
say(sort(dbListTables(db)))
say(dbListFields(db, "patients"))
say(dbReadTable(db, "patients")[1:4, ])
say(dbGetQuery(db, "SELECT p.ssn, e.notes FROM patients p JOIN encounters e ON e.patient = p.id WHERE e.id < $1 ORDER BY e.id", c(4)))
rows <- dbSendQuery(db, "SELECT * FROM patients ORDER BY id")
say(fetch(rows, n = 3))
say(dbColumnInfo(rows))
say(dbHasCompleted(rows))
invisible(dbClearResult(rows))
say(dbGetException(db)$errorNum)
if (commandArgs(TRUE)[1] == "clear") {
    say(dbGetQuery(db, "SELECT i, b, n, f, t, c, v, ok, d, ts, u FROM shapes ORDER BY i"))
    say(dbExistsTable(db, "wards"))
    dbGetQuery(db, "BEGIN")
    say(dbWriteTable(db, "poured", data.frame(a = 1:500, b = rep("line", 500)), row.names = FALSE))
    say(dbGetQuery(db, "SELECT count(*), sum(a) FROM poured"))
    dbGetQuery(db, "ROLLBACK")
}
invisible(dbDisconnect(db))
cat("end\n")
