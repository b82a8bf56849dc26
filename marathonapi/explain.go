package marathonapi

import (
	"net/http"

	"stadion/core"
	"stadion/core/machine"
)

// explain is GET /v2/apps/{id}/explain (extension): why an app does not run as wanted. An app that is itself named
// explain is shown as ever: clients that know nothing of the extension must not meet it.
func (s *Server) explain(r *request) error {
	id, _ := r.id()
	if own, err := core.ParsePath("explain", id); err == nil {
		if _, err := existing(r.snap, own); err == nil {
			r.vars["id"] += "/explain"
			return s.getApp(r)
		}
	}
	a, err := r.theApp()
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, machine.Explain(&r.snap.View, s.cfg.Offers, a, core.At(s.now())))
}
