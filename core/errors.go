package core

import "strings"

// ErrorKind is what a client can do about an error. Exactly one function of marathonapi turns kinds into HTTP
// status codes (http-api.md 1.14, 1.15).
type ErrorKind int

// The kinds of errors.
const (
	Internal       ErrorKind = iota // our own fault
	BadRequest                      // malformed request: 400
	Invalid                         // understood but not acceptable: 422, with Details where a path is known
	NotFound                        // 404
	Conflict                        // the id is taken: 409 without deployments
	Locked                          // a deployment holds the spec: 409 with Deployments
	LimitReached                    // too many running deployments: 403
	Unavailable                     // try again later: 503
	Unauthorized                    // 401
	Forbidden                       // 403
	TooLarge                        // 413
	NotImplemented                  // 501: not there yet
)

// Detail is one entry of a 422: all texts that belong to one path of the request body.
type Detail struct {
	Path   string   `json:"path"`
	Errors []string `json:"errors"`
}

// Error is an error with a kind that a client can act upon.
type Error struct {
	Kind        ErrorKind
	Message     string
	Details     []Detail // violations by path; nil unless Kind is Invalid
	DetailText  string   // what the JSON parser said; only with BadRequest, where the body's "details" is a string
	Deployments []string // ids of the deployments that hold the lock; nil unless Kind is Locked
	Direct      bool     // raised by the endpoint itself: the body then carries an empty "details" (http-api.md 1.14)
}

func (e *Error) Error() string {
	if len(e.Details) == 0 {
		return e.Message
	}
	var b strings.Builder
	b.WriteString(e.Message)
	for i, d := range e.Details {
		b.WriteString(map[bool]string{true: ": ", false: "; "}[i == 0])
		b.WriteString(d.Path + " " + strings.Join(d.Errors, ", "))
	}
	return b.String()
}

// LockedMessage is Marathon's literal text of a lock conflict (http-api.md 1.15).
const LockedMessage = "App is locked by one or more deployments. Override with the option '?force=true'. " +
	"View details at '/v2/deployments/<DEPLOYMENT_ID>'."
