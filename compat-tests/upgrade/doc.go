// Package upgrade replaces the tasks of a service while clients use it. A proxy of
// the test learns the backends the two ways proxies do, by polling the API and from
// the event stream, and sends every request to one of them: none may fail.
//
//	clients --> proxy --(one connection per request)--> web service on agent 0, 1
//	              ^ /v2/apps/service/tasks, /v2/events
//	              |
//	           stadion  <-- PUT, DELETE /v2/deployments/{id}, force, scale, a version that crashes
//
// The web service behaves as services should: at SIGTERM it reports itself unhealthy, goes on
// serving until the proxy has noticed, and ends. How the two do this stands in harness (Load, web.py).
package upgrade
