/*
Package metrics keeps the metrics under Marathon's names and writes them in Marathon's two layouts (behaviour.md 10,
http-api.md 3.3, 3.4), so that dashboards drawn for Marathon keep drawing. The registry, the counters, the buckets and the text
are those of prometheus/client_golang. What Marathon's library has and Prometheus's has not stands in sample.go: moving
averages of rates, and percentiles of a sample that begins anew every few seconds.

Such percentiles miss whatever happened between two scrapes. So the timers that matter most are histograms with buckets
besides (withBuckets in names.go), in Prometheus's form only.

Every name stands in one table (names.go) and exists from the start, with value zero: a chart of something that has
not happened yet is flat, not empty.

	parts of the process ──count, time──► Registry ──► /metrics (JSON), /metrics/prometheus
	                                         └──every interval──► StatsD, DataDog
*/
package metrics
