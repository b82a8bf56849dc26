// Package clients runs Marathon's public clients, proxies and scripts against a server and prints a table client ×
// feature. The server is stadion dev and a cluster of three, entered through a standby, or any that MARATHON_URL names.
//
//	suite      clients ──features──► cells of the table
//	targets    what the clients are pointed at
//
// Everything a client makes lies below a group of its own, so that clients run side by side on a server that others use.
// Where a client cannot work with Marathon 1.11 itself (callback subscriptions, KillTask's guess of the app's id,
// TaskEndpoints' old place of port mappings) the test expects what Marathon answers there. marathon-python hands every key
// of an answer to a constructor and so breaks on the few that came with Marathon 1.8 and 1.9; the script lets it pass over
// exactly those and no other.
package clients
