// Package stateful asks a built server for what users cannot move elsewhere: groups
// of containers that live and die together, and services with data on an agent.
//
//	stadion (killed at random) --> minimesos (killed, same work_dir) --> counter.sh
//	                                   |                                   | flock, append
//	                             GET /slaves: reservations            data/count, data/second
//
// Rules:
//
//   - Data are judged by themselves: the counter's numbers have no gap and no
//     repetition, and a second writer would have left its mark.
//   - Reservations and volumes are judged at the master, not by the API.
package stateful
