# What Slicer needs to know of an extension before it packs it.

foreach(name IN ITEMS HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(SEND_ERROR "CMakeLists.txt sets no EXTENSION_${name}.")
  endif()
endforeach()

foreach(name IN ITEMS LICENSE_FILE README_FILE)
  if(NOT EXISTS "${EXTENSION_${name}}")
    message(SEND_ERROR "EXTENSION_${name} in CMakeLists.txt names a file that is not there: ${EXTENSION_${name}}")
  endif()
endforeach()
