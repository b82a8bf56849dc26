// Package metrics drives a server through one of everything that has a metric, and then asks that each metric has moved
// (behaviour 10.2). The few that a healthy run cannot move are listed with the reason.
package metrics
