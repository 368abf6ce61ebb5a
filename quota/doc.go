// Package quota tells what servers say of their quotas.
package quota
