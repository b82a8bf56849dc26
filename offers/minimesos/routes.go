package minimesos

import "net/http"

func (c *Cluster) routes() http.Handler {
	mux := http.NewServeMux()
	for _, prefix := range []string{"", "/master"} {
		mux.HandleFunc(prefix+"/api/v1/scheduler", c.handleScheduler)
		mux.HandleFunc(prefix+"/api/v1/scheduler/{$}", c.handleScheduler)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusNotFound, "404 Not Found.") })
	return mux
}
