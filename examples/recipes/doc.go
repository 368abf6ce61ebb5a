// Package recipes is the code of docs/recipes.md: how the limits of well-known APIs are written
// down, and how libraries of other makers stand in a chain. Its tests run each recipe in virtual
// time, over a fake of the API.
package recipes
