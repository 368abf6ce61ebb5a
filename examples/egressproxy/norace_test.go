//go:build !race

package main

const raced = false // the race detector makes copying ten times slower
