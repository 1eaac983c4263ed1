/* slot — which slot is taken next, which are freed, which are made. */
#include "storage/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/disk_sim.h"

enum { SLOT_BYTES = 64 * 1024 };

static void open_ring(struct slot_ring *ring, struct disk *disk, uint32_t count)
{
    assert_int_equal(slot_ring_open(ring, disk, "/data", SLOT_BYTES, count), ERR_OK);
}

/* take — begins segment `generation`, with records up to LSN 10 × generation. */
static struct slot *take(struct slot_ring *ring, uint64_t generation)
{
    struct slot *slot = NULL;
    assert_int_equal(slot_ring_take(ring, &slot), ERR_OK);
    slot->generation = generation;
    slot->last_lsn = generation * 10;
    return slot;
}

static void test_takes_the_oldest(void **state)
{
    (void)state;
    struct disk *disk = sim_disk_new(1);
    struct slot_ring ring;
    open_ring(&ring, disk, 4);
    struct slot *slots[4];
    for (uint64_t i = 0; i < 4; i++)
        slots[i] = take(&ring, i + 1);
    assert_int_equal(slot_ring_free_count(&ring), 0);
    struct slot *none = NULL;
    assert_int_equal(slot_ring_take(&ring, &none), ERR_FULL);

    slot_ring_release(&ring, 19);
    assert_int_equal(slot_ring_free_count(&ring), 1);
    slot_ring_release(&ring, 20);
    assert_int_equal(slot_ring_free_count(&ring), 2);
    assert_ptr_equal(take(&ring, 5), slots[0]);
    slot_ring_release(&ring, 1000);
    assert_int_equal(slot_ring_free_count(&ring), 3); /* never the newest */
    assert_ptr_equal(take(&ring, 6), slots[1]);
    assert_ptr_equal(take(&ring, 7), slots[2]);
    assert_ptr_equal(take(&ring, 8), slots[3]);
    slot_ring_close(&ring);
    sim_disk_free(disk);
}

static void test_prepares_one_ahead(void **state)
{
    (void)state;
    struct disk *disk = sim_disk_new(1);
    struct slot_ring ring;
    open_ring(&ring, disk, 3);
    assert_true(slot_ring_prepare(&ring));
    assert_false(slot_ring_prepare(&ring));
    struct slot *first = take(&ring, 1);
    assert_int_equal(slot_ring_index(&ring, first), 0);
    assert_true(slot_ring_prepare(&ring));
    assert_false(slot_ring_prepare(&ring));
    assert_int_equal(sim_disk_operations(disk, SIM_PREFILL), 2);
    assert_int_equal(slot_ring_free_count(&ring), 2);
    slot_ring_close(&ring);
    sim_disk_free(disk);
}

/* A slot that could not be made takes its share of the ring until it can. */
static void test_unavailable(void **state)
{
    (void)state;
    struct disk *disk = sim_disk_new(1);
    struct slot_ring ring;
    open_ring(&ring, disk, 3);
    sim_disk_fail(disk, SIM_OPEN, 1, 3, ERR_FULL);
    struct slot *slot = NULL;
    assert_int_equal(slot_ring_take(&ring, &slot), ERR_FULL);
    assert_int_equal(slot_ring_free_count(&ring), 0);
    for (size_t i = 0; i < 3; i++)
        assert_true(slot_is_unavailable(&ring.slots[i]));
    assert_true(slot_ring_prepare(&ring));
    assert_ptr_equal(take(&ring, 1), &ring.slots[0]);
    slot_ring_close(&ring);
    sim_disk_free(disk);
}

/* Half-made slots of a crash, and slots of another size, go. */
static void test_cleans(void **state)
{
    (void)state;
    struct disk *disk = sim_disk_new(1);
    struct disk_file *file = NULL;
    assert_int_equal(disk->ops->open(disk, "/data/journal-02.new", SLOT_BYTES, &file), ERR_OK);
    disk->ops->close(file);
    assert_int_equal(disk->ops->open(disk, "/data/journal-01", SLOT_BYTES * 2, &file), ERR_OK);
    disk->ops->close(file);
    assert_int_equal(disk->ops->open(disk, "/data/journal-07", SLOT_BYTES, &file), ERR_OK);
    disk->ops->close(file);
    assert_int_equal(disk->ops->open(disk, "/data/journal-00", SLOT_BYTES, &file), ERR_OK);
    disk->ops->close(file);
    struct slot_ring ring;
    open_ring(&ring, disk, 3);
    slot_ring_release(&ring, 0);
    assert_int_equal(slot_ring_clean(&ring), ERR_OK);
    assert_int_equal(sim_disk_file_count(disk), 1);
    assert_int_equal(slot_ring_free_count(&ring), 3);
    slot_ring_close(&ring);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_the_oldest),
        cmocka_unit_test(test_prepares_one_ahead),
        cmocka_unit_test(test_unavailable),
        cmocka_unit_test(test_cleans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
