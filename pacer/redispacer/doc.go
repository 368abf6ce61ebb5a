// Package redispacer paces calls of any number of processes on one quota.
package redispacer
