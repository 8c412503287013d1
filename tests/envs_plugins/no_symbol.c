/* A library that is no environment plugin. */
int unrelated(void);

int unrelated(void)
{
    return 0;
}
