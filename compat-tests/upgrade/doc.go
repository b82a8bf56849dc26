// Package upgrade replaces the tasks of a service while clients use it. A proxy of
// the test learns the backends the two ways proxies do, by polling the API and from
// the event stream, and sends every request to one of them: none may fail.
//
//	clients --> proxy --(one connection per request)--> web.py on agent 0, 1
//	              ^ /v2/apps/service?embed=app.tasks, /v2/events
//	              |
//	           stadion  <-- PUT, DELETE /v2/deployments/{id}, force, scale, a version that crashes
//
// web.py behaves as services should: at SIGTERM it reports itself unhealthy, goes on
// serving until proxies have noticed, and ends.
package upgrade
