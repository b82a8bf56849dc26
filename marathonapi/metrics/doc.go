/*
Package metrics keeps the metrics under Marathon's names and writes them in Marathon's two layouts (behaviour.md 10,
http-api.md 3.3, 3.4), so that dashboards drawn for Marathon keep drawing. Meters, histograms and timers are those of
rcrowley/go-metrics, which counts rates and percentiles as Marathon's own library does.

Every name stands in one table (names.go) and exists from the start, with value zero: a chart of something that has
not happened yet is flat, not empty.

	parts of the process ──count, time──► Registry ──► /metrics (JSON), /metrics/prometheus
	                                         └──every interval──► StatsD, DataDog
*/
package metrics
