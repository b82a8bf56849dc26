package minimesos

// watcher is a subscriber of the operator event stream.
type watcher struct{ stream *stream }

func (m *master) watchTask(*task)                   {}
func (m *master) watchFramework(*framework, string) {}
func (m *master) watchAgent(*agent, string)         {}
