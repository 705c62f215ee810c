#include "base/exit_code.h"

#include <coldpath/error.h>
#include <stdlib.h>
#include <sysexits.h>

int cp_exit_of(int code)
{
    switch (code) {
    case CP_OK:
        return EXIT_SUCCESS;
    case CP_E_ABSENT:
    case CP_E_ABI:
    case CP_E_BUSY:
    case CP_E_CORRUPT:
    case CP_E_RETIRED:
        return EX_UNAVAILABLE;
    case CP_E_IO:
    case CP_E_PERM:
        return EX_IOERR;
    case CP_E_CONFIG:
        return EX_CONFIG;
    default:
        return EXIT_FAILURE;
    }
}
