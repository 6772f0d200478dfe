/*
 * shape.h - what a prepared statement takes and gives, as one number: the types of its parameters, names and types of its columns.
 *
 * A statement keeps the shape that it had when it was prepared: PostgreSQL refuses to run one whose result has become another (0A000, "cached plan must
 * not change result type"). A copy that was parsed later on another server has its own, so the two are compared by this.
 * What counts is what PostgreSQL compares and a RowDescription tells: name, type and modifier of each column. Which table it is from doesn't.
 *
 * Threads: any. No I/O.
 * Source:  equalTupleDescs() and RevalidateCachedQuery() of PostgreSQL; its manual, "Message Formats".
 */
#ifndef PGWEIR_SHAPE_H
#define PGWEIR_SHAPE_H

#include "wire/bytes.h"

#define SHAPE_UNKNOWN 0

uint64_t shape_of_parameters(struct reader body); /* of a ParameterDescription; SHAPE_UNKNOWN: malformed */
/* With that, and the body of a RowDescription. SHAPE_UNKNOWN: malformed, or the parameters are unknown. */
uint64_t shape_of_rows(uint64_t parameters, struct reader body);
uint64_t shape_of_nothing(uint64_t parameters); /* NoData */

#endif
