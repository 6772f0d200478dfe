/* What cppcheck, which doesn't read the system's headers, must know of them to follow our code. */
#define HASH_ITER(hh, head, el, tmp) \
	for ((el) = (head), (tmp) = (el) ? (el)->hh.next : 0; (el); (el) = (tmp), (tmp) = (el) ? (el)->hh.next : 0)
#define START_TEST(name) static void name(int _i)
#define END_TEST
