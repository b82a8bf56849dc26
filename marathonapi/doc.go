/*
Package marathonapi speaks Marathon's HTTP API (http-api.md) in front of the loop.

	request ─► gate: basic auth, concurrency, CORS, headers, gzip, body limit
	        ─► route table (routes.go): pattern × method, content types
	        ─► read:  encode from one snapshot, streaming, with an ETag (D-39, D-59)
	           write: wire makes a core.Change on the snapshot ─► Submit(UpdateTree) ─► answer from the newer snapshot
	batch   ─► Publish ─► ring of encoded events ─► every stream of /v2/events (D-33)

# Rules of the package

  - Every route stands in one table that routing, OPTIONS, tests and documents share. Paths are never cleaned: ids are
    greedy and may hold "//", "%2F" and "*" (1.7).
  - A read answers from one snapshot. It holds no lock and copies nothing but bytes. Encoded apps and runs of lists are
    kept until the revision of their spec moves (P15).
  - A write is computed on a snapshot by a pure function, which the machine may call again on a newer tree. The loop
    publishes the snapshot before it answers, so a client reads its own writes.
  - Errors become HTTP in one function (errors.go).
  - Whatever a client can make grow has a bound: bodies, streams, lag of a stream, cached encodings, requests at once.
*/
package marathonapi
