package marathonapi

import (
	"fmt"
	"io"
	"net"
	"net/http"

	"stadion/core"
	"stadion/core/machine"
	"stadion/marathonapi/wire"
)

// deploymentHeader names the deployment that a request made (http-api.md 1.3).
const deploymentHeader = "Marathon-Deployment-Id"

// build computes a change on a tree. It must be pure: the machine calls it again when the tree has changed since.
type build func(core.Tree) (core.Change, error)

// update computes a change on the snapshot, checks the merged tree and submits it. On success r.snap is a snapshot
// that shows the change. With dryRun=true it answers itself and stores nothing.
func (s *Server) update(r *request, force bool, origin *machine.Origin, make build) (machine.UpdateResult, error) {
	base := r.snap
	checked := func(tree core.Tree) (core.Change, error) {
		ch, err := make(tree)
		if err != nil {
			return ch, err
		}
		ch.Force = force
		if tree == core.Tree(base) {
			r.recordChange(tree, ch)
		}
		if err := r.mayChange(tree, ch); err != nil {
			return ch, err
		}
		return ch, s.wire.ValidateTree(tree, ch)
	}
	ch, err := checked(base)
	if err != nil {
		return machine.UpdateResult{}, err
	}
	if r.dry {
		return machine.UpdateResult{}, s.dryRun(r, ch)
	}
	cmd := machine.UpdateTree{Base: r.snap.RootStamp(), Change: ch, Rebase: checked, Origin: origin}
	return submit[machine.UpdateResult](s, r, cmd)
}

// submit hands a command to the loop and takes the snapshot that shows its effect.
func submit[T any](s *Server, r *request, cmd machine.Command) (res T, err error) {
	got, err := s.loop.Submit(r.Request().Context(), cmd)
	if err != nil {
		return res, err
	}
	r.snap = s.loop.Snapshot()
	res, ok := got.(T)
	if !ok && got != nil {
		return res, fmt.Errorf("the answer to %T is a %T", cmd, got)
	}
	return res, nil
}

// body reads the whole body.
func (r *request) body() ([]byte, error) {
	b, err := io.ReadAll(r.Request().Body)
	if err != nil {
		return nil, fmt.Errorf("read request body: %w", err)
	}
	return b, nil
}

// origin is what the API's own event tells of this request: the URI without its query.
func (r *request) origin(event string, spec core.PathID) *machine.Origin {
	req := r.Request()
	return &machine.Origin{ClientIP: clientIP(req), URI: req.URL.EscapedPath(), Event: event, App: spec}
}

// clientIP is the address of the other end of the connection, without the port.
func clientIP(r *http.Request) string {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return ip
}

const apiPost = "api_post_event"

// deployed answers with a deployment result (http-api.md 1.16).
func (r *request) deployed(status int, res machine.UpdateResult) error {
	r.Response().Header().Set(deploymentHeader, res.Deployment)
	return r.answer(status, struct {
		Version    core.Timestamp `json:"version"`
		Deployment string         `json:"deploymentId"`
	}{res.Version, res.Deployment})
}

// located sets Location to an id, resolved against the server's base (http-api.md 1.16).
func (s *Server) located(r *request, id string) {
	r.Response().Header().Set("Location", s.cfg.Scheme+"://"+r.Request().Host+id)
}

func (s *Server) createApp(r *request) error {
	body, err := r.body()
	if err != nil {
		return err
	}
	base := r.snap
	app, err := s.wire.CreateApp(body, base)
	if err != nil {
		return err
	}
	res, err := s.update(r, r.flag("force"), r.origin(apiPost, app.ID), s.putting(base, app, func(tree core.Tree) (*core.App, error) {
		return s.wire.CreateApp(body, tree)
	}))
	if err != nil {
		return err
	}
	shown := *app
	shown.Version = res.Version
	s.located(r, string(app.ID))
	r.Response().Header().Set(deploymentHeader, res.Deployment)
	return r.answer(http.StatusCreated, createdApp{App: &shown, Deployments: []deploymentID{{res.Deployment}}})
}

// putting is the change that puts an app which was read on the tree base; on any other tree it is read again.
func (s *Server) putting(base core.Tree, app *core.App, read func(core.Tree) (*core.App, error)) build {
	return func(tree core.Tree) (core.Change, error) {
		a, err := app, error(nil)
		if tree != base {
			a, err = read(tree)
		}
		if err != nil {
			return core.Change{}, err
		}
		return s.wire.SpecChange(tree, a), nil
	}
}

// createdApp is the answer of POST: the app as it was sent, before service ports and versionInfo, with counts of
// zero (http-api.md 4.6).
type createdApp struct {
	*core.App
	Staged      int            `json:"tasksStaged"`
	Running     int            `json:"tasksRunning"`
	Healthy     int            `json:"tasksHealthy"`
	Unhealthy   int            `json:"tasksUnhealthy"`
	Deployments []deploymentID `json:"deployments"`
}

func (s *Server) putApp(r *request) error {
	id, body, err := r.target(badSpecID)
	if err != nil {
		return err
	}
	partial := r.flagOr("partialUpdate", true)
	base := r.snap
	app, existed, err := s.wire.PutApp(id, body, partial, base)
	if err != nil {
		return err
	}
	res, err := s.update(r, r.flag("force"), r.origin(apiPost, id), s.putting(base, app, func(tree core.Tree) (*core.App, error) {
		a, _, err := s.wire.PutApp(id, body, partial, tree)
		return a, err
	}))
	if err != nil {
		return err
	}
	if existed {
		return r.deployed(http.StatusOK, res)
	}
	s.located(r, string(id))
	return r.deployed(http.StatusCreated, res)
}

// badSpecID is the answer to an id of the path that no spec can have: it stands for the id of the body, so the schema
// refuses it.
func badSpecID() error { return invalidJSON("/id", "error.pattern") }

// badGroupID is the same for groups, where it is a rule.
func badGroupID() error {
	return &core.Error{Kind: core.Invalid, Message: "Object is not valid", Details: []core.Detail{{Path: "/", Errors: []string{wire.TextPathPattern}}}}
}

// target is the id of the path and the body of a request that may create it; bad makes the answer to an impossible id.
func (r *request) target(bad func() error) (core.PathID, []byte, error) {
	body, err := r.body()
	if err != nil {
		return "", nil, err
	}
	id, ok := r.id()
	if !ok {
		return "", nil, bad()
	}
	return id, body, nil
}

func (s *Server) patchApp(r *request) error {
	id, body, err := r.target(badSpecID)
	if err != nil {
		return err
	}
	res, err := s.update(r, r.flag("force"), r.origin(apiPost, id), func(tree core.Tree) (core.Change, error) {
		a, err := s.wire.PatchApp(id, body, tree)
		if err != nil {
			return core.Change{}, err
		}
		return s.wire.SpecChange(tree, a), nil
	})
	if err != nil {
		return err
	}
	return r.deployed(http.StatusOK, res)
}

func (s *Server) putApps(r *request) error {
	return s.manyApps(r, r.flagOr("partialUpdate", true), true)
}
func (s *Server) patchApps(r *request) error { return s.manyApps(r, true, false) }

func (s *Server) manyApps(r *request, partial, mayCreate bool) error {
	body, err := r.body()
	if err != nil {
		return err
	}
	res, err := s.update(r, r.flag("force"), nil, func(tree core.Tree) (core.Change, error) {
		list, err := s.wire.PutApps(body, partial, mayCreate, tree)
		if err != nil {
			return core.Change{}, err
		}
		specs := make([]core.RunSpec, len(list))
		for i, a := range list {
			specs[i] = a
		}
		return s.wire.SpecChange(tree, specs...), nil
	})
	if err != nil {
		return err
	}
	return r.deployed(http.StatusOK, res)
}

// existing is an app that must be in the tree; the 404 comes from deeper, without details (http-api.md 1.14).
func existing(tree core.Tree, id core.PathID) (*core.App, error) {
	if spec, ok := tree.Spec(id); ok {
		if a, ok := spec.(*core.App); ok {
			return a, nil
		}
	}
	return nil, notFound("App '" + string(id) + "' does not exist")
}

func (s *Server) deleteApp(r *request) error {
	id, _ := r.id()
	res, err := s.update(r, r.forceOr(true, id), nil, func(tree core.Tree) (core.Change, error) {
		_, err := existing(tree, id)
		return core.Change{Remove: []core.PathID{id}, GroupID: id.Parent()}, err
	})
	if err != nil {
		return err
	}
	return r.deployed(http.StatusOK, res)
}

func (s *Server) restartApp(r *request) error {
	id, _ := r.id()
	res, err := s.update(r, r.flag("force"), nil, func(tree core.Tree) (core.Change, error) {
		_, err := existing(tree, id)
		return core.Change{Restart: []core.PathID{id}, GroupID: id.Parent()}, err
	})
	if err != nil {
		return err
	}
	return r.deployed(http.StatusOK, res)
}
