"""From rows of users and items to a block of pairs and back, eight pairs and eight columns at a time.

Tables are as many columns wide as a whole number of registers, and so are parts of a block; the columns ``users`` and
``items`` of pairs go on to the next eight. Users are sorted: eight pairs mostly have one, whose row is added to once.
"""
# mypy: disable-error-code="no-untyped-def, call-arg"

from __future__ import annotations

from numba import njit

from recpoison.training.edges.lanes import WIDTH, load, plus, store, times, turned


@njit(cache=True, nogil=True, error_model="numpy")
def put_square(block, row, column, c):
    """Write eight registers below each other."""
    store(block, row, column, c[0])
    store(block, row + 1, column, c[1])
    store(block, row + 2, column, c[2])
    store(block, row + 3, column, c[3])
    store(block, row + 4, column, c[4])
    store(block, row + 5, column, c[5])
    store(block, row + 6, column, c[6])
    store(block, row + 7, column, c[7])


@njit(cache=True, nogil=True, error_model="numpy")
def square(block, row, column):
    """For each of eight pairs the numbers of eight units."""
    return turned(
        (
            load(block, row, column),
            load(block, row + 1, column),
            load(block, row + 2, column),
            load(block, row + 3, column),
            load(block, row + 4, column),
            load(block, row + 5, column),
            load(block, row + 6, column),
            load(block, row + 7, column),
        )
    )


@njit(cache=True, nogil=True, error_model="numpy")
def rows(table, numbers, at, k):
    """Columns from ``k`` on of the rows of eight pairs."""
    return (
        load(table, numbers[at], k),
        load(table, numbers[at + 1], k),
        load(table, numbers[at + 2], k),
        load(table, numbers[at + 3], k),
        load(table, numbers[at + 4], k),
        load(table, numbers[at + 5], k),
        load(table, numbers[at + 6], k),
        load(table, numbers[at + 7], k),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def all_times(a, b):
    """Products of eight registers with eight."""
    return (
        times(a[0], b[0]),
        times(a[1], b[1]),
        times(a[2], b[2]),
        times(a[3], b[3]),
        times(a[4], b[4]),
        times(a[5], b[5]),
        times(a[6], b[6]),
        times(a[7], b[7]),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def all_plus(a, b):
    """Sums of eight registers and eight."""
    return (
        plus(a[0], b[0]),
        plus(a[1], b[1]),
        plus(a[2], b[2]),
        plus(a[3], b[3]),
        plus(a[4], b[4]),
        plus(a[5], b[5]),
        plus(a[6], b[6]),
        plus(a[7], b[7]),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def add_row(table, row, k, lanes):
    """Add to one row of a table."""
    store(table, row, k, plus(load(table, row, k), lanes))


@njit(cache=True, nogil=True, error_model="numpy")
def add_rows(table, numbers, at, k, c):
    """Add to the rows of eight pairs, one after the other, since two may be the same."""
    add_row(table, numbers[at], k, c[0])
    add_row(table, numbers[at + 1], k, c[1])
    add_row(table, numbers[at + 2], k, c[2])
    add_row(table, numbers[at + 3], k, c[3])
    add_row(table, numbers[at + 4], k, c[4])
    add_row(table, numbers[at + 5], k, c[5])
    add_row(table, numbers[at + 6], k, c[6])
    add_row(table, numbers[at + 7], k, c[7])


@njit(cache=True, nogil=True, error_model="numpy")
def add_sorted_rows(table, numbers, at, k, c):
    """The same where most have one row."""
    if numbers[at] == numbers[at + 7]:
        add_row(table, numbers[at], k, plus(plus(c[0], c[1]), plus(c[2], c[3])))
        add_row(table, numbers[at], k, plus(plus(c[4], c[5]), plus(c[6], c[7])))
    else:
        add_rows(table, numbers, at, k, c)


@njit(cache=True, nogil=True, error_model="numpy")
def gather(of_users, of_items, users, items, start, n, size, sums, h):
    """Write what pairs bring to the network: products in the first ``size`` rows, sums from row ``sums`` on."""
    for s in range(0, n, WIDTH):
        at = start + s
        for k in range(0, size, WIDTH):
            put_square(h, k, s, turned(all_times(rows(of_users, users, at, k), rows(of_items, items, at, k))))
        for k in range(size, of_users.shape[1], WIDTH):
            found = all_plus(rows(of_users, users, at, k), rows(of_items, items, at, k))
            put_square(h, sums + k - size, s, turned(found))


@njit(cache=True, nogil=True, error_model="numpy")
def gather_tangents(of_users, of_items, v_users, v_items, users, items, start, n, size, sums, rh):
    """How these move as the tables move along ``v_...``."""
    for s in range(0, n, WIDTH):
        at = start + s
        for k in range(0, size, WIDTH):
            one = all_times(rows(of_users, users, at, k), rows(v_items, items, at, k))
            other = all_times(rows(v_users, users, at, k), rows(of_items, items, at, k))
            put_square(rh, k, s, turned(all_plus(one, other)))
        for k in range(size, of_users.shape[1], WIDTH):
            found = all_plus(rows(v_users, users, at, k), rows(v_items, items, at, k))
            put_square(rh, sums + k - size, s, turned(found))


@njit(cache=True, nogil=True, error_model="numpy")
def scatter_products(of_users, of_items, users, items, start, n, size, d, user_sums, item_sums):
    """Add the derivatives d in the products p * q to rows: d q to users' and d p to items'."""
    for s in range(0, n, WIDTH):
        at = start + s
        for k in range(0, size, WIDTH):
            here = square(d, k, s)
            add_rows(item_sums, items, at, k, all_times(here, rows(of_users, users, at, k)))
            add_sorted_rows(user_sums, users, at, k, all_times(here, rows(of_items, items, at, k)))


@njit(cache=True, nogil=True, error_model="numpy")
def scatter_product_tangents(
    of_users, of_items, v_users, v_items, users, items, start, n, size, d, rd, user_sums, item_sums
):  # fmt: skip
    """How what ``scatter_products`` adds moves: d' q + d q' and d' p + d p'."""
    for s in range(0, n, WIDTH):
        at = start + s
        for k in range(0, size, WIDTH):
            here, moved = square(d, k, s), square(rd, k, s)
            one = all_times(moved, rows(of_users, users, at, k))
            add_rows(item_sums, items, at, k, all_plus(one, all_times(here, rows(v_users, users, at, k))))
            one = all_times(moved, rows(of_items, items, at, k))
            add_sorted_rows(user_sums, users, at, k, all_plus(one, all_times(here, rows(v_items, items, at, k))))


@njit(cache=True, nogil=True, error_model="numpy")
def scatter_sums(users, items, start, n, size, sums, d, user_sums, item_sums):
    """Add the derivatives d in the sums to both rows."""
    for s in range(0, n, WIDTH):
        for k in range(size, user_sums.shape[1], WIDTH):
            here = square(d, sums + k - size, s)
            add_rows(item_sums, items, start + s, k, here)
            add_sorted_rows(user_sums, users, start + s, k, here)
