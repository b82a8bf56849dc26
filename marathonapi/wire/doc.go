/*
Package wire turns request bodies of the API into values of package core: it decodes JSON, translates deprecated
forms, fills in defaults and checks every rule of http-api.md 4.7 to 4.12, 6.4 to 6.7 and 7.3 to 7.6. What it
returns is normalised, so nothing behind it ever sees an old form.

	body ── parse ──► tree ── schema ──► draft ── legacy ──► draft ── merge ──► app ── normalise ──► app ── rules ──► core.App
	         │                 │                   │                   ▲                                     │
	        400          422 Invalid JSON     422 not valid    defaults (POST) or                      422 not valid
	                                                           stored app (PUT, PATCH)

# Rules of the package

  - Which fields an app has stands in one table (appFields). A full parse is a merge into the default app, a partial
    update is a merge into the stored app; there is no second path.
  - Bounds of single fields stand in one table (bounds.go) and are checked by validator; rules between fields stand in
    tables of functions (rules*.go, pods.go). Texts are Marathon's, because clients and people search for them.
  - Each stage collects all its violations and stops the request (http-api.md 4.5).
  - Whatever Marathon answers with 500 for bad input is a 422 with the path of the offending field (http-api.md 18).
  - Answers and the time to find them are bounded whatever a body holds (maxViolations, core.MaxPathDepth).
  - No clock, no state: the tree is an argument, version stamps are the machine's business.
*/
package wire
