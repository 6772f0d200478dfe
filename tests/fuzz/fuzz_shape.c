/* Descriptions of statements: the same bytes have the same shape, and nothing that is cut or too long has any. */
#include "state/shape.h"

#include <stdlib.h>
#include <string.h>

#define PARAMETERS 1

static void check(uint64_t (*shape)(struct reader), const uint8_t *data, size_t size)
{
	uint64_t found = shape(reader_over(data, size));
	uint8_t *copy;

	if (found == SHAPE_UNKNOWN)
		return;
	copy = xmalloc(size + 1);
	memcpy(copy, data, size);
	copy[size] = 0;
	ASSERT(shape(reader_over(copy, size)) == found);
	ASSERT(shape(reader_over(copy, size + 1)) == SHAPE_UNKNOWN);
	for (size_t cut = 0; cut < size; cut++)
		ASSERT(shape(reader_over(copy, cut)) == SHAPE_UNKNOWN);
	free(copy);
}

static uint64_t rows(struct reader body)
{
	return shape_of_rows(PARAMETERS, body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4096)
		return 0;
	check(shape_of_parameters, data, size);
	check(rows, data, size);
	return 0;
}
