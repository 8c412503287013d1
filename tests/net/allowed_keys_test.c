#include "net/allowed_keys.h"

#include "tests/net/key_directory.h"

static KeyDirectory keys;
static AllowedKeys *table;
static Err err;
static char revoked[256]; /* names, with a space behind each */

static int setup(void **state)
{
    (void)state;
    keys = key_directory_make();
    revoked[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    allowed_keys_destroy(&table);
    scratch_remove(&keys.scratch);
    return 0;
}

static void note_revoked(void *context, const PublicKey *key)
{
    assert_ptr_equal(context, &table);
    size_t length = strlen(revoked);
    snprintf(revoked + length, sizeof revoked - length, "%s ", key->name);
}

static void read_again(void)
{
    AllowedKeys *next = NULL;
    if (allowed_keys_read(keys.allowed, table, &next, &err) != 0)
        fail_msg("%s", err.text);
    revoked[0] = '\0';
    allowed_keys_compare(table, next, note_revoked, &table);
    allowed_keys_destroy(&table);
    table = next;
}

static const PublicKey *find(const SecretKey *key)
{
    uint8_t bytes[KEY_BYTES];
    assert_non_null(zmq_z85_decode(bytes, key->public_text));
    return allowed_keys_find(table, bytes);
}

static void put(const char *file, const char *text)
{
    char path[256];
    key_directory_path(&keys, file, path);
    scratch_write(path, text, strlen(text));
}

static void test_keys_are_found_by_their_bytes(void **state)
{
    (void)state;
    char name[16];
    SecretKey all[40];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "node%d", i);
        all[i] = key_directory_add(&keys, name, KEY_ROLE_ACTOR);
    }
    SecretKey stranger = key_directory_new_key(&keys, "stranger", KEY_ROLE_ACTOR);
    read_again();
    assert_int_equal(allowed_keys_count(table), 40);
    for (int i = 0; i < 40; i++) {
        const PublicKey *key = find(&all[i]);
        assert_non_null(key);
        assert_string_equal(key->name, all[i].name);
        assert_in_range(allowed_keys_place(table, key), 0, 39);
    }
    assert_null(find(&stranger));
}

static void test_an_empty_directory_allows_nobody(void **state)
{
    (void)state;
    SecretKey stranger = key_directory_new_key(&keys, "stranger", KEY_ROLE_ACTOR);
    read_again();
    assert_int_equal(allowed_keys_count(table), 0);
    assert_null(find(&stranger));
}

static void test_additions_and_removals_are_noticed(void **state)
{
    (void)state;
    SecretKey a = key_directory_add(&keys, "a", KEY_ROLE_ACTOR);
    read_again();
    SecretKey b = key_directory_add(&keys, "b", KEY_ROLE_OBSERVER);
    read_again();
    assert_non_null(find(&a));
    assert_int_equal(find(&b)->roles, KEY_ROLE_OBSERVER);
    assert_string_equal(revoked, "");
    key_directory_revoke(&keys, "a");
    read_again();
    assert_null(find(&a));
    assert_non_null(find(&b));
    assert_string_equal(revoked, "a ");
}

static void test_other_roles_and_another_key_of_a_name_count_as_revoked(void **state)
{
    (void)state;
    SecretKey old = key_directory_add(&keys, "a", KEY_ROLE_ACTOR);
    read_again();
    assert_int_equal(remove(scratch_path(&keys.scratch, "a.key")), 0);
    assert_int_equal(remove(scratch_path(&keys.scratch, "a.pub")), 0);
    assert_int_equal(keys_write_pair(keys.scratch.path, &old, KEY_ROLE_OBSERVER, &err), 0);
    key_directory_allow(&keys, "a");
    read_again();
    assert_string_equal(revoked, "a ");
    assert_int_equal(find(&old)->roles, KEY_ROLE_OBSERVER);

    assert_int_equal(remove(scratch_path(&keys.scratch, "a.key")), 0);
    assert_int_equal(remove(scratch_path(&keys.scratch, "a.pub")), 0);
    SecretKey fresh = key_directory_add(&keys, "a", KEY_ROLE_ACTOR);
    read_again();
    assert_string_equal(revoked, "a ");
    assert_null(find(&old));
    assert_non_null(find(&fresh));
}

static void test_what_is_not_sound_is_not_allowed_and_others_are(void **state)
{
    (void)state;
    SecretKey good = key_directory_add(&keys, "good", KEY_ROLE_ACTOR);
    SecretKey learner = key_directory_add(&keys, "learner", 0);
    SecretKey other = key_directory_new_key(&keys, "other", KEY_ROLE_ACTOR);
    key_directory_allow_as(&keys, "other", "renamed");
    put("damaged.pub", "polyak-key 1 public\nname damaged\npublic nonsense\n");
    put("empty.pub", "");
    put("README", "not a key");
    read_again();
    assert_int_equal(allowed_keys_count(table), 1);
    assert_non_null(find(&good));
    assert_null(find(&learner)); /* grants nothing */
    assert_null(find(&other));   /* is not called other.pub */
}

static void test_a_key_in_two_files_is_nobodys(void **state)
{
    (void)state;
    SecretKey a = key_directory_add(&keys, "a", KEY_ROLE_ACTOR);
    read_again();
    char text[256];
    snprintf(text, sizeof text, "polyak-key 1 public\nname b\nroles operator\npublic %s\n",
             a.public_text);
    put("b.pub", text);
    read_again();
    assert_null(find(&a));
    assert_string_equal(revoked, "a ");
    key_directory_revoke(&keys, "b");
    read_again();
    assert_non_null(find(&a));
    assert_int_equal(find(&a)->roles, KEY_ROLE_ACTOR);
}

static void test_a_file_that_is_damaged_later_is_no_longer_allowed(void **state)
{
    (void)state;
    SecretKey a = key_directory_add(&keys, "a", KEY_ROLE_ACTOR);
    read_again();
    put("a.pub", "polyak-key 1 pub");
    read_again();
    assert_null(find(&a));
    assert_string_equal(revoked, "a ");
    key_directory_allow(&keys, "a");
    read_again();
    assert_non_null(find(&a));
}

/* A volume of Kubernetes: the files are links into a directory that is swapped by a rename. */
static void test_a_swapped_link_is_noticed(void **state)
{
    (void)state;
    SecretKey a = key_directory_new_key(&keys, "a", KEY_ROLE_ACTOR);
    SecretKey b = key_directory_new_key(&keys, "b", KEY_ROLE_ACTOR);
    char first[256], second[256], data[256], fresh[256], link[256], target[256];
    key_directory_path(&keys, "..first", first);
    key_directory_path(&keys, "..second", second);
    key_directory_path(&keys, "..data", data);
    key_directory_path(&keys, "..data_tmp", fresh);
    assert_int_equal(fs_make_dirs(first, &err), 0);
    assert_int_equal(fs_make_dirs(second, &err), 0);
    snprintf(target, sizeof target, "%.200s/a.pub", first);
    assert_int_equal(rename(scratch_path(&keys.scratch, "a.pub"), target), 0);
    snprintf(target, sizeof target, "%.200s/b.pub", second);
    assert_int_equal(rename(scratch_path(&keys.scratch, "b.pub"), target), 0);
    assert_int_equal(symlink("..first", data), 0);
    key_directory_path(&keys, "a.pub", link);
    assert_int_equal(symlink("..data/a.pub", link), 0);
    key_directory_path(&keys, "b.pub", link);
    assert_int_equal(symlink("..data/b.pub", link), 0);
    read_again();
    assert_non_null(find(&a));
    assert_null(find(&b));
    assert_int_equal(symlink("..second", fresh), 0);
    assert_int_equal(rename(fresh, data), 0);
    read_again();
    assert_null(find(&a));
    assert_non_null(find(&b));
    assert_string_equal(revoked, "a ");
}

static void test_a_directory_that_is_gone_is_an_error(void **state)
{
    (void)state;
    AllowedKeys *none = NULL;
    assert_int_equal(allowed_keys_read(scratch_path(&keys.scratch, "none"), NULL, &none, &err),
                     ERR_IO);
    assert_null(none);
    assert_non_null(strstr(err.text, "none cannot be read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_are_found_by_their_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_directory_allows_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_additions_and_removals_are_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_roles_and_another_key_of_a_name_count_as_revoked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_sound_is_not_allowed_and_others_are, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_key_in_two_files_is_nobodys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_damaged_later_is_no_longer_allowed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_swapped_link_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_directory_that_is_gone_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
